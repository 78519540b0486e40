"""Elementwise product.   y = a * b

    y = clamp(z_y + (a - z_a) * (b - z_b) * M, low, high)           M = s_a s_b / s_y, of float32 under rule `tflite`

Operands broadcast; constants are ordinary inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.program.factors import (
    clamp_of,
    default_accumulator,
    needs_wide,
    scale_of,
    tflite_mul_factor,
    zero_point_of,
)
from intaglio.program.field_bounds import Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, params
from intaglio.program.shapes import broadcast


@dataclass(frozen=True, eq=False)
class Mul(Operator):
    """Computes the equation of the module.

    Args:
        a_zero_point, b_zero_point, y_zero_point: of the operands and the output.
        requantize: factor from product to output steps, (); wide where two 16-bit operands with zero points need it.
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "mul"
    operands: ClassVar[int | None] = 2

    a_zero_point: Code
    b_zero_point: Code
    y_zero_point: Code
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
    ) -> Mul:
        """Derive the integers from quantization parameters, one scale each; clamp in output codes.

        Args:
            a, b, y: parameters.
            rule, low, high: rounding, and clamp in output codes.
            accumulator: bits of the target's accumulator, 32 or 64; under the rule `tflite` it is 32.
        Raises:
            LoweringError: the factor is out of range, or the product needs more bits than the accumulator has.
        """
        bound = a.type.max_abs_offset(zero_point_of(a)) * b.type.max_abs_offset(zero_point_of(b))
        usual = default_accumulator(max(a.type, b.type, key=lambda type: type.bits), rule)
        wide = needs_wide(bound, min(usual, accumulator))
        low, high = clamp_of(y, low, high)
        factor = tflite_mul_factor(a, b, y) if rule is Rule.TFLITE else scale_of(a) * scale_of(b) / scale_of(y)
        requantize = Requantize.from_real(factor, rule, wide=wide)
        return cls(zero_point_of(a), zero_point_of(b), zero_point_of(y), requantize, low, high, y.type)

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

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the product by `max |a - z_a| * max |b - z_b|`."""
        return types[0].max_abs_offset(self.a_zero_point) * types[1].max_abs_offset(self.b_zero_point)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        a, b = (x.astype(np.int64) - z for x, z in zip(inputs, (self.a_zero_point, self.b_zero_point), strict=True))
        return self.requantize.apply(a * b, self.y_zero_point, self.low, self.high, self.out)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every type and rule, broadcasting, extremes."""
        for i, (a_shape, b_shape) in enumerate([((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 5), (5,)), ((2, 7), (2, 1))]):
            for rule in Rule:
                for type in TYPES:
                    exact = rule is Rule.TFLITE and type.bits > 8  # two such operands with zero points need 33 bits
                    a, b = params(rng, type, rule, symmetric=exact), params(rng, type, rule, symmetric=exact)
                    if exact and not type.signed:
                        continue
                    operator = cls.from_real(a, b, params(rng, type, rule, 0.2), rule=rule)
                    yield operator, (codes(rng, type, a_shape, extreme=i == 2), codes(rng, type, b_shape))
