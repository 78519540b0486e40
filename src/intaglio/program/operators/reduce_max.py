"""Largest (or smallest) element over axes.   y = max x"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import IntType
from intaglio.program.field_bounds import Axis
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes
from intaglio.program.shapes import check_axes, reduced


@dataclass(frozen=True, eq=False)
class ReduceMax(Operator):
    """Its input and output have the same scale and zero point.

    Args:
        axes: the axes that are reduced.
        keepdims: keep them with size 1.
        minimum: find the smallest element instead of the largest.
    """

    kind: ClassVar[str] = "reduce_max"

    axes: tuple[Axis, ...]
    keepdims: bool
    minimum: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Remove the reduced axes, or keep them with size 1."""
        return reduced(inputs[0], self.axes, keepdims=self.keepdims)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that the axes exist."""
        check_axes(self, self.axes, len(inputs[0]))

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        reduce = np.min if self.minimum else np.max
        return np.asarray(reduce(inputs[0], axis=self.axes, keepdims=self.keepdims))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover global pools and single axes of every type."""
        for type in TYPES:
            x = codes(rng, type, (2, 7, 6, 3))
            yield cls((1, 2), True), (x,)
            yield cls((3, 1), False, True), (x,)
