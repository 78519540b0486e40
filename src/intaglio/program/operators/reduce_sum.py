"""Sum over axes; with a factor, also a mean.   y = clamp(z_y + sum (x - z_x) * M, low, high),   M = factor s_x / s_y

Under the rule `tflite` a mean has the multiplier of s_x / s_y, divided by the count in integers, as in TFLite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.program.factors import (
    clamp_of,
    counted,
    default_accumulator,
    needs_wide,
    scale_of,
    tflite_mean,
    zero_point_of,
)
from intaglio.program.field_bounds import Axis, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, params
from intaglio.program.shapes import check_axes, reduced


@dataclass(frozen=True, eq=False)
class ReduceSum(Operator):
    """Computes the equation of the module.

    Args:
        axes: the axes that are summed.
        keepdims: keep them with size 1.
        x_zero_point, y_zero_point: of input and output.
        requantize: factor from the sum to output steps, ().
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "reduce_sum"
    factors_beyond_scales: ClassVar[bool] = True

    axes: tuple[Axis, ...]
    keepdims: bool
    x_zero_point: Code
    y_zero_point: Code
    requantize: Requantize
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        y: QuantParams,
        *,
        axes: tuple[int, ...],
        keepdims: bool,
        factor: float = 1.0,
        count: int = 1,
        rule: Rule,
        low: int | None = None,
        high: int | None = None,
        accumulator: int = 64,
    ) -> ReduceSum:
        """Derive the integers from quantization parameters, one scale each.

        Args:
            x, y: parameters.
            axes, keepdims: fields of the same names.
            factor: positive; 1 / count for a mean.
            count: number of elements in each sum, which bounds the accumulator.
            rule, low, high: rounding, and clamp in output codes.
            accumulator: bits of the target's accumulator, 32 or 64; up to 8 bits and under `tflite` it is 32.
        Raises:
            LoweringError: the factor is out of range, or the sum may overflow (32 bits, or 48 where there are 64).
        """
        bound = count * x.type.max_abs_offset(zero_point_of(x))
        wide = needs_wide(bound, min(default_accumulator(x.type, rule), accumulator))
        low, high = clamp_of(y, low, high)
        if rule is Rule.TFLITE and factor == 1.0 / count:
            requantize = tflite_mean(scale_of(x) / scale_of(y), count)
        else:
            requantize = counted(factor * scale_of(x) / scale_of(y), rule, wide=wide)
        return cls(axes, keepdims, zero_point_of(x), zero_point_of(y), requantize, low, high, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """Remove the summed axes, or keep them with size 1."""
        return reduced(inputs[0], self.axes, keepdims=self.keepdims)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that the axes exist and that there is one multiplier."""
        check_axes(self, self.axes, len(inputs[0]))
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the sum by the number of elements times `max |x - z_x|`."""
        return math.prod(shapes[0][axis] for axis in self.axes) * types[0].max_abs_offset(self.x_zero_point)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        x = inputs[0]
        count = math.prod(x.shape[axis] for axis in self.axes)
        acc = np.asarray(x.sum(axis=self.axes, keepdims=self.keepdims, dtype=np.int64)) - count * self.x_zero_point
        return self.requantize.apply(acc, self.y_zero_point, self.low, self.high, self.out)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover global pools, means of a sequence, sums, extremes."""
        for axes, keepdims, factor in [((1, 2), True, 1 / 42), ((1,), False, 1 / 7), ((3, 1), False, 1.0)]:
            for rule in Rule:
                for type in TYPES:
                    x, y = params(rng, type, rule), params(rng, type, rule, 0.05 * 42 * factor)
                    operator = cls.from_real(x, y, axes=axes, keepdims=keepdims, factor=factor, rule=rule)
                    yield operator, (codes(rng, type, (2, 7, 6, 3), extreme=factor == 1.0),)
