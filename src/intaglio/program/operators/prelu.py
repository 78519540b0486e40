"""Leaky rectifier with a slope per channel.

    y = clamp(z_y + (x - z_x) * M, low, high)                   where x >= z_x,  M = s_x / s_y
    y = clamp(z_y + sign[c] * (x - z_x) * M'[c], low, high)     elsewhere,       M' = |slope[c]| s_x / s_y

The sign of a slope of 0 is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.program.factors import clamp_of, counted, scale_of, zero_point_of
from intaglio.program.field_bounds import Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, params


@dataclass(frozen=True, eq=False)
class PRelu(Operator):
    """Computes the equation of the module.

    Args:
        x_zero_point, y_zero_point: of input and output.
        requantize: M, ().
        negative: M', () or (C,) along the last axis.
        sign: int8, the shape of `negative`: -1, 0 or 1.
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "prelu"
    factors_beyond_scales: ClassVar[bool] = True

    x_zero_point: Code
    y_zero_point: Code
    requantize: Requantize
    negative: Requantize
    sign: Ints
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        y: QuantParams,
        slope: ArrayLike,
        *,
        rule: Rule,
        low: int | None = None,
        high: int | None = None,
    ) -> PRelu:
        """Derive the integers from quantization parameters, one scale each, and real slopes, () or (C,), of any sign.

        Raises:
            LoweringError: a factor is out of range.
        """
        slope = np.asarray(slope, np.float64)
        low, high = clamp_of(y, low, high)
        factor = scale_of(x) / scale_of(y)
        return cls(
            x_zero_point=zero_point_of(x),
            y_zero_point=zero_point_of(y),
            requantize=Requantize.from_real(factor, rule),
            negative=counted(np.where(slope == 0, 1.0, np.abs(slope)) * factor, rule),
            sign=np.asarray(np.sign(slope), np.int8),
            low=low,
            high=high,
            out=y.type,
        )

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that there is one slope, or one for each channel, each with a sign."""
        got = self.negative.multiplier.shape
        self.expect(got in ((), inputs[0][-1:]), f"expected 1 slope or {inputs[0][-1:]}, got shape {got}")
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")
        self.expect(not self.requantize.wide and not self.negative.wide, "expected factors of 32 bits")
        self.expect(
            self.sign.shape == got and self.sign.dtype == np.int8 and bool((np.abs(self.sign.astype(int)) <= 1).all()),
            "expected signs of -1, 0 and 1, one per slope",
        )

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the accumulator by `max |x - z_x|`."""
        return types[0].max_abs_offset(self.x_zero_point)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        steps = inputs[0].astype(np.int64) - self.x_zero_point
        above = self.requantize.apply(steps, self.y_zero_point, self.low, self.high, self.out)
        below = self.negative.apply(steps * self.sign, self.y_zero_point, self.low, self.high, self.out)
        return np.where(steps >= 0, above, below)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every type and rule; slopes of both signs, zero, above one."""
        for type in TYPES:
            for rule in Rule:
                for slope in (0.1, np.array([0.25, 0.0, -0.3, 1.7])):
                    operator = cls.from_real(params(rng, type, rule), params(rng, type, rule), slope, rule=rule)
                    yield operator, (codes(rng, type, (2, 40, 4)),)
