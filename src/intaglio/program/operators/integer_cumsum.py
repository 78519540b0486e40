"""Running sums of plain integers along an axis, as positions are counted.   y[j] = saturate(sum of x[i] over i <= j)

`exclusive` sums over i < j; `reverse` runs from the end. Each sum is exact and saturates on its own at 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import BOOLEAN, INT8, INT32, IntType
from intaglio.number.fixedpoint import saturate
from intaglio.program.field_bounds import Axis
from intaglio.program.operator import Ints, Operator, Range, Shape
from intaglio.program.sampling import codes
from intaglio.program.shapes import check_axes


@dataclass(frozen=True, eq=False)
class IntegerCumSum(Operator):
    """Computes the equation of the module.

    Args:
        axis: along which the sums run.
        exclusive: leave the element itself out of its sum.
        reverse: run from the end.
    """

    kind: ClassVar[str] = "integer_cumsum"

    axis: Axis
    exclusive: bool = False
    reverse: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return int32."""
        return INT32

    def check(self, *inputs: Shape) -> None:
        """Check that the axis exists."""
        check_axes(self, (self.axis,), len(inputs[0]))

    def mixes_samples(self) -> bool:
        """Whether it sums over axis 0."""
        return self.axis == 0

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range:
        """Bound sums of no element, of one, and of all."""
        (low, high), most = ranges[0], shapes[0][self.axis]
        least = 0 if self.exclusive else 1
        ends = np.clip(np.outer((least, most), (low, high)), INT32.qmin, INT32.qmax)
        return int(ends.min()), int(ends.max())

    def integer(self, *inputs: Ints) -> Ints:
        """Sum in 64 bits: fewer than 2**31 elements of at most 2**31."""
        x = inputs[0].astype(np.int64)
        x = np.flip(x, self.axis) if self.reverse else x
        total = np.cumsum(x, axis=self.axis)
        total = total - x if self.exclusive else total
        total = np.flip(total, self.axis) if self.reverse else total
        return saturate(total, INT32.qmin, INT32.qmax, INT32.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every axis and direction, and sums that saturate."""
        for exclusive in (False, True):
            for reverse in (False, True):
                yield cls(1, exclusive, reverse), (codes(rng, INT32, (2, 7, 3)),)
                yield cls(0, exclusive, reverse), (codes(rng, BOOLEAN, (5, 3)),)
                yield cls(2, exclusive, reverse), (codes(rng, INT8, (2, 3, 6)),)
