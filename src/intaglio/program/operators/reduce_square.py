"""Sum of squares over axes, or its root.   y = sum x^2,   y = sqrt(sum x^2)

S = sum (x - z_x)^2
acc = floor(sqrt(S << 2j)),   or   acc = rounding S >> -j              as many bits of it as fit 31
y = clamp(z_y + acc * M, low, high)           M = 2^-j s_x / s_y,   or   2^-j s_x^2 / s_y, with a factor
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from intaglio.errors import LoweringError
from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import integer_sqrt, rounding_shift_right
from intaglio.program.factors import clamp_of, counted, scale_of, zero_point_of
from intaglio.program.field_bounds import Axis, Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, params
from intaglio.program.shapes import check_axes, reduced


@dataclass(frozen=True, eq=False)
class ReduceSquare(Operator):
    """Computes the equation of the module.

    Args:
        axes: the axes that are summed.
        keepdims: keep them with size 1.
        root: whether the root is taken.
        spread: j: 0 to 30 with a root, else -31 to 0.
        x_zero_point, y_zero_point: of input and output.
        requantize: M, ().
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "reduce_square"
    factors_beyond_scales: ClassVar[bool] = True

    axes: tuple[Axis, ...]
    keepdims: bool
    root: bool
    spread: Annotated[int, Bound(-31, 30)]
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
        root: bool,
        count: int,
        rule: Rule,
        low: int | None = None,
        high: int | None = None,
    ) -> ReduceSquare:
        """Derive the integers from quantization parameters, one scale each.

        Args:
            x, y: parameters.
            axes, keepdims, root: fields of the same names.
            count: number of elements in each sum.
            rule, low, high: rounding, and clamp in output codes.
        Raises:
            LoweringError: the sum may exceed 62 bits, or the factor is out of range.
        """
        largest = count * x.type.max_abs_offset(zero_point_of(x)) ** 2
        if largest >= 1 << 61:
            raise LoweringError(f"reduce_square: the squares of {count} numbers of {x.type} may exceed 62 bits")
        spread = (60 - largest.bit_length()) // 2 if root else min(0, 31 - largest.bit_length())
        spread = min(max(spread, 0), 30) if root else spread
        factor = 2.0**-spread * scale_of(x) ** (1 if root else 2) / scale_of(y)
        low, high = clamp_of(y, low, high)
        zero_points = zero_point_of(x), zero_point_of(y)
        return cls(axes, keepdims, root, spread, *zero_points, counted(factor, rule), low, high, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """Remove the summed axes, or keep them with size 1."""
        return reduced(inputs[0], self.axes, keepdims=self.keepdims)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that the axes exist, that there is one multiplier, and that the shift goes the right way."""
        check_axes(self, self.axes, len(inputs[0]))
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")
        self.expect((self.spread >= 0) == self.root or self.spread == 0, f"a root with spread {self.spread}")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound acc by that of `count * max (x - z_x)^2`."""
        count = math.prod(shapes[0][axis] for axis in self.axes)
        largest = count * types[0].max_abs_offset(self.x_zero_point) ** 2
        scaled = largest << 2 * self.spread if self.root else largest
        self.expect(scaled < 1 << 62, f"sums may reach {scaled}, expected less than 2**62")
        return math.isqrt(scaled) if self.root else (largest >> -self.spread) + 1

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        x = inputs[0].astype(np.int64) - self.x_zero_point
        total = np.asarray((x * x).sum(axis=self.axes, keepdims=self.keepdims))
        acc = integer_sqrt(total << 2 * self.spread) if self.root else rounding_shift_right(total, -self.spread)
        return self.requantize.apply(acc, self.y_zero_point, self.low, self.high, self.out)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover axes in any place, roots and sums, extremes, and sums that lose bits."""
        for axes, keepdims in [((1, 2), True), ((3,), False), ((3, 1), False)]:
            for rule in Rule:
                for type in TYPES:
                    x = params(rng, type, rule)
                    data = codes(rng, type, (2, 7, 6, 3), extreme=axes == (3, 1))
                    data[0, ..., 0] = zero_point_of(x)
                    count = math.prod(data.shape[axis] for axis in axes)
                    for root in (True, False):
                        y = params(rng, type, rule, 0.05 * 1.5 * count**0.5 if root else 0.05**2 * 64 * count)
                        options = {"axes": axes, "keepdims": keepdims, "root": root, "count": count}
                        yield cls.from_real(x, y, rule=rule, **options), (data,)
