"""Index of the largest (or smallest) element along an axis; the first of several.   y = argmax x,   int32"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT32, IntType
from intaglio.program.field_bounds import Axis
from intaglio.program.operator import Ints, Operator, Range, Shape
from intaglio.program.sampling import SMALL_TYPES, TYPES, codes
from intaglio.program.shapes import check_axes, reduced


@dataclass(frozen=True, eq=False)
class ArgMax(Operator):
    """Its output holds plain indices, without scale and zero point.

    Args:
        axis: the axis that is searched.
        keepdims: keep it with size 1.
        last: of several equal elements take the last instead of the first.
        minimum: search the smallest element instead of the largest.
    """

    kind: ClassVar[str] = "argmax"

    axis: Axis
    keepdims: bool = False
    last: bool = False
    minimum: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Remove the axis, or keep it with size 1."""
        return reduced(inputs[0], (self.axis,), keepdims=self.keepdims)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return int32."""
        return INT32

    def check(self, *inputs: Shape) -> None:
        """Check that the axis exists."""
        check_axes(self, (self.axis,), len(inputs[0]))

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range:
        """Bound the indices by the size of the axis."""
        return 0, shapes[0][self.axis] - 1

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the indices, int32."""
        x = np.flip(inputs[0], self.axis) if self.last else inputs[0]
        find = np.argmin if self.minimum else np.argmax
        found = find(x, axis=self.axis, keepdims=self.keepdims)
        if self.last:
            found = x.shape[self.axis] - 1 - found
        return np.asarray(found).astype(np.int32)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every axis, with few codes, so that there are ties."""
        for type in (*TYPES, *SMALL_TYPES):
            x = codes(rng, type, (2, 9, 5))
            yield cls(2), (x,)
            yield cls(1, True, True), (x,)
            yield cls(1, last=True, minimum=True), (x,)
