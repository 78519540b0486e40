"""Change of type and scale.   y = clamp(z_y + (x - z_x) * M, low, high),   M = s_x / s_y"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio import number
from intaglio.number import INT8, IntType, QuantParams, Rule
from intaglio.program.factors import clamp_of, onto_grid, scale_of, zero_point_of
from intaglio.program.field_bounds import INT32_MAX, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, grid, params


@dataclass(frozen=True, eq=False)
class Requantize(Operator):
    """Computes the equation of the module.

    Args:
        x_zero_point, y_zero_point: of input and output.
        requantize: factor from input steps to output steps, ().
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "requantize"

    x_zero_point: Code
    y_zero_point: Code
    requantize: number.Requantize
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls, x: QuantParams, y: QuantParams, *, rule: Rule, low: int | None = None, high: int | None = None
    ) -> Requantize:
        """Derive the integers, one scale each; clamp in output codes. A bipolar y is the sign of x.

        Raises:
            LoweringError: the factor is out of range.
        """
        low, high = clamp_of(y, low, high)
        factor, zero_point = onto_grid(scale_of(x) / scale_of(y), y)
        return cls(zero_point_of(x), zero_point, number.Requantize.from_real(factor, rule), low, high, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that there is one multiplier."""
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the accumulator by `max |x - z_x|`; the one int32 beyond, -2**31, fits the products too (2**62)."""
        return min(types[0].max_abs_offset(self.x_zero_point), INT32_MAX)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        steps = inputs[0].astype(np.int64) - self.x_zero_point
        return self.requantize.apply(steps, self.y_zero_point, self.low, self.high, self.out)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover all pairs of types, finer and coarser scales, with and without a clamp."""
        for rule in Rule:
            for type in TYPES:
                for out in (*TYPES, IntType(4)):
                    y = params(rng, out, rule, 0.05 * 2.0 ** rng.integers(-6, 7))
                    operator = cls.from_real(params(rng, type, rule), y, rule=rule, high=y.type.qmax - 2)
                    yield operator, (codes(rng, type, (2, 5, 3)),)
        same = grid(INT8, 0.1)
        yield cls.from_real(same, same, rule=Rule.HALF_UP), (codes(rng, INT8, (2, 300)),)
