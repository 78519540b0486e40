"""Elementwise sum and difference.   y = a + b,   y = a - b

    a' = ((a - z_a) << left) * M_a          M_a = s_a / (2 max(s_a, s_b)), and the same for b
    y = clamp(z_y + (a' +- b') * M, low, high)          M = 2 max(s_a, s_b) / (2**left s_y)

Both operands are brought to one grid, whose step is 2 max(s_a, s_b) / 2**left. `left` is 20 for operands of up to 8
bits (255 * 2**20 < 2**28, halved twice and added: below 2**28) and 15 beyond (65535 * 2**15 < 2**31, halved and added:
below 2**31). Operands broadcast; constants are ordinary inputs. Under the rule `shift` the factors of both operands are
powers of two and the sum is exact as long as one scale is at most 2**(left - 1) times the other.

Source: TensorFlow Lite, reference_integer_ops::Add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from intaglio.number import INT8, INT16, IntType, QuantParams, Requantize, Rule
from intaglio.program.factors import clamp_of, scale_of, zero_point_of
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, params
from intaglio.program.shapes import broadcast


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """Computes the equation of the module.

    Args:
        a_zero_point, b_zero_point, y_zero_point: of the operands and the output.
        left_shift: `left`.
        a_requantize, b_requantize, requantize: M_a, M_b and M, ().
        b_sign: 1 for a sum, -1 for a difference.
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "add"
    operands: ClassVar[int | None] = 2

    a_zero_point: Code
    b_zero_point: Code
    y_zero_point: Code
    left_shift: Annotated[int, Bound(0, 20)]
    a_requantize: Requantize
    b_requantize: Requantize
    requantize: Requantize
    b_sign: Annotated[int, Bound(-1, 1)]
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls,
        a: QuantParams,
        b: QuantParams,
        y: QuantParams,
        *,
        rule: Rule,
        low: int | None = None,
        high: int | None = None,
        subtract: bool = False,
    ) -> Add:
        """Derive the integers, one scale each; clamp in output codes; with `subtract`, a - b.

        Raises:
            LoweringError: a factor is out of range.
        """
        left = 20 if max(a.type.bits, b.type.bits) <= 8 else 15
        twice = 2.0 * max(scale_of(a), scale_of(b))
        # Below 2**-31 the finer operand never reaches half a step; the factor only has to be one that exists.
        factors = [max(scale_of(p) / twice, 2.0**-31) for p in (a, b)]
        low, high = clamp_of(y, low, high)
        return cls(
            a_zero_point=zero_point_of(a),
            b_zero_point=zero_point_of(b),
            y_zero_point=zero_point_of(y),
            left_shift=left,
            a_requantize=Requantize.from_real(factors[0], rule),
            b_requantize=Requantize.from_real(factors[1], rule),
            requantize=Requantize.from_real(twice / (2.0**left * scale_of(y)), rule),
            b_sign=-1 if subtract else 1,
            low=low,
            high=high,
            out=y.type,
        )

    def shape(self, *inputs: Shape) -> Shape:
        """Broadcast the shapes of both operands."""
        return broadcast(self, *inputs)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that operands broadcast, that factors are scalars of at most 1/2, and shift and sign."""
        broadcast(self, *inputs)
        for factor in (self.a_requantize, self.b_requantize, self.requantize):
            self.expect(factor.multiplier.shape == () and not factor.wide, "expected scalar factors of 32 bits")
        self.expect(self.b_sign in (-1, 1), f"expected a sign of -1 or 1, got {self.b_sign}")
        # One exception to 'at most 1/2': the coarser operand's own, which is exactly 1/2.
        halves = [f.shift >= 0 and f.real <= 0.5 for f in (self.a_requantize, self.b_requantize)]
        self.expect(all(halves), "the factors of the operands must be at most 1/2")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound each operand after the left shift, and their sum after the halving; return the larger bound."""
        a, b = (
            t.max_abs_offset(z) << self.left_shift
            for t, z in zip(types, (self.a_zero_point, self.b_zero_point), strict=True)
        )
        return max(a, b, (a + 1) // 2 + (b + 1) // 2)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        a = self._common(inputs[0], self.a_zero_point, self.a_requantize)
        b = self._common(inputs[1], self.b_zero_point, self.b_requantize)
        total = a + b if self.b_sign > 0 else a - b
        return self.requantize.apply(total, self.y_zero_point, self.low, self.high, self.out)

    def _common(self, x: Ints, zero_point: int, factor: Requantize) -> Ints:
        return factor.scale((x.astype(np.int64) - zero_point) << self.left_shift)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every type and rule, scales that differ by up to 2**12, broadcasting, differences, extremes."""
        shapes = [((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 5), (5,)), ((2, 1, 4), (1, 3, 1)), ((2, 7), (2, 7))]
        for i, (a_shape, b_shape) in enumerate(shapes):
            for rule in Rule:
                for type in TYPES:
                    a, b = params(rng, type, rule), params(rng, type, rule, 0.05 * 2.0 ** rng.integers(-12, 3))
                    y = params(rng, INT16 if type is INT8 and i == 1 else type, rule, 0.1)
                    operator = cls.from_real(a, b, y, rule=rule, subtract=i % 2 == 1)
                    yield operator, (codes(rng, type, a_shape), codes(rng, type, b_shape, extreme=i == 3))
