"""Elementwise quotient.   y = a / b

    d = b - z_b;  e = floor(log2 |d|);  c = |d| << (16 - e)                               in [2**16, 2**17)
    r = floor(2**(16 + p) / c)                                                            1 / |d| = r 2**-(p + e)
    y = clamp(z_y + sign(d) (a - z_a) r * M 2**-e, low, high)         M = 2**-p s_a / (s_b s_y)

A quotient by 0 is the clamp's bound on the side of a's sign, and z_y where a is 0 too. Operands broadcast; constants
are ordinary inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import floor_log2
from intaglio.program.factors import clamp_of, counted, scale_of, zero_point_of
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, params
from intaglio.program.shapes import broadcast

_FINEST = 30


@dataclass(frozen=True, eq=False)
class Div(Operator):
    """Computes the equation of the module.

    Args:
        a_zero_point, b_zero_point, y_zero_point: of the operands and the output.
        precision: p, bits of the reciprocal.
        requantize: M, (); its shift and e together are cut to the largest shift that it may have.
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "div"
    operands: ClassVar[int | None] = 2
    factors_beyond_scales: ClassVar[bool] = True
    bounds_factors: ClassVar[bool] = False

    a_zero_point: Code
    b_zero_point: Code
    y_zero_point: Code
    precision: Annotated[int, Bound(8, _FINEST)]
    requantize: Requantize
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
        accumulator: int = 64,
    ) -> Div:
        """Derive the integers from quantization parameters, one scale each.

        Args:
            a, b, y: parameters.
            rule, low, high: rounding, and clamp in output codes.
            accumulator: bits of the target's accumulator, 32 or 64; under the rule `tflite` it is 32.
        Raises:
            LoweringError: the factor is out of range.
        """
        largest = a.type.max_abs_offset(zero_point_of(a))
        wide = a.type.bits > 8 and accumulator == 64 and rule is not Rule.TFLITE
        precision = min(_FINEST, (46 if wide else 30) - largest.bit_length() + 1)
        low, high = clamp_of(y, low, high)
        factor = 2.0**-precision * scale_of(a) / (scale_of(b) * scale_of(y))
        zero_points = zero_point_of(a), zero_point_of(b), zero_point_of(y)
        return cls(*zero_points, precision, counted(factor, rule, wide=wide), low, high, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """Broadcast the shapes of both operands."""
        return broadcast(self, *inputs)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that the operands broadcast and that there is one multiplier."""
        broadcast(self, *inputs)
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")

    def check_types(self, *inputs: IntType) -> None:
        """Check that divisors have at most 16 bits."""
        self.expect(inputs[1].bits <= 16, f"expected divisors of at most 16 bits, got {inputs[1]}")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the accumulator by `max |a - z_a| * 2**p`."""
        return types[0].max_abs_offset(self.a_zero_point) << self.precision

    @property
    def most_shift(self) -> int:
        """The largest shift that the requantization may have; beyond it a quotient is less than half a step."""
        return 47 if self.requantize.wide else 31

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        a, d = (x.astype(np.int64) - z for x, z in zip(inputs, (self.a_zero_point, self.b_zero_point), strict=True))
        size = np.maximum(np.abs(d), 1)
        exponent = floor_log2(size)
        reciprocal = (np.int64(1) << (16 + self.precision)) // (size << (16 - exponent))
        shift = self.requantize.shift + exponent
        acc = np.where(shift > self.most_shift, 0, a * (np.sign(d) * reciprocal))
        shift = np.minimum(shift, self.most_shift).astype(np.int32)
        factor = replace(self.requantize, shift=np.broadcast_to(shift, acc.shape))
        y = factor.apply(acc, self.y_zero_point, self.low, self.high, self.out)
        ends = np.where(a > 0, self.high, np.where(a < 0, self.low, np.clip(self.y_zero_point, self.low, self.high)))
        return np.where(d == 0, ends, y).astype(self.out.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every type and rule, broadcasting, divisors of 0, extremes."""
        for i, (a_shape, b_shape) in enumerate([((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 5), (5,)), ((2, 7), (2, 1))]):
            for rule in Rule:
                for type in TYPES:
                    a, b = params(rng, type, rule), params(rng, type, rule)
                    operator = cls.from_real(a, b, params(rng, type, rule, 4.0 / (1 << type.bits)), rule=rule)
                    divisors = codes(rng, type, b_shape)
                    divisors.reshape(-1)[0] = zero_point_of(b)
                    yield operator, (codes(rng, type, a_shape, extreme=i == 2), divisors)
