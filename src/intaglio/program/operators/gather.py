"""Select elements by constant indices.   y[..., i, ...] = x[..., indices[i], ...]

Nearest-neighbour resizing and padding that repeats elements (edge, reflect, wrap) are gathers too, one for each axis.
"""

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
class Gather(Operator):
    """Selects slices along one axis.

    Args:
        indices: int32, 0 to size - 1, of any shape, which replaces the axis. Lowering resolves negative indices.
        axis: the axis along which they select.
    """

    kind: ClassVar[str] = "gather"
    moves: ClassVar[bool] = True

    indices: Ints
    axis: Axis

    def __post_init__(self) -> None:
        """Store the indices as int32, as files and C have them."""
        indices = np.asarray(self.indices)
        if indices.dtype.kind in "iu" and indices.size and indices.min() >= 0 and indices.max() < 1 << 31:
            object.__setattr__(self, "indices", indices.astype(np.int32))

    def shape(self, *inputs: Shape) -> Shape:
        """Replace the axis by the shape of the indices."""
        return (*inputs[0][: self.axis], *self.indices.shape, *inputs[0][self.axis + 1 :])

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that every index is inside."""
        self.expect(0 <= self.axis < len(inputs[0]), f"axis {self.axis} is outside a shape {inputs[0]}")
        n = inputs[0][self.axis]
        self.expect(
            self.indices.dtype == np.int32
            and self.indices.size > 0
            and self.indices.min() >= 0
            and self.indices.max() < n,
            f"expected int32 indices from 0 to {n - 1}",
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Select the slices."""
        return np.take(inputs[0], self.indices, axis=self.axis)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover repeated indices, one index that removes the axis, and a table of indices."""
        for type in (INT8, INT16):
            x = codes(rng, type, (2, 6, 5, 4))
            yield cls(rng.integers(0, 6, 12), 1), (x,)
            yield cls(np.asarray(4), 2), (x,)
            yield cls(rng.integers(0, 4, (2, 3)), 3), (x,)
