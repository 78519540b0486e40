"""Change the order of the axes.   y[i_0, i_1, ...] = x[...],   axis k of y is axis `axes[k]` of x"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, IntType
from intaglio.program.field_bounds import Axis
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class Transpose(Operator):
    """Reorders axes: `axes` has the input axis of each output axis."""

    kind: ClassVar[str] = "transpose"
    moves: ClassVar[bool] = True

    axes: tuple[Axis, ...]

    def shape(self, *inputs: Shape) -> Shape:
        """Reorder the sizes."""
        return tuple(inputs[0][axis] for axis in self.axes)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that `axes` names each axis of the input once."""
        self.expect(
            sorted(self.axes) == list(range(len(inputs[0]))), f"axes {self.axes} are no order of a shape {inputs[0]}"
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Transpose the input in memory."""
        return np.ascontiguousarray(inputs[0].transpose(self.axes)) if self.axes else inputs[0]

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover images to and from channels-last, matrices, five axes."""
        for axes in [(0, 2, 3, 1), (0, 3, 1, 2), (1, 0), (0,), (0, 4, 2, 1, 3)]:
            for type in (INT8, INT16):
                yield cls(axes), (codes(rng, type, (2, 3, 4, 5, 2)[: len(axes)]),)
