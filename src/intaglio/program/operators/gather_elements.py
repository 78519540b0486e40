"""Elements at computed places along one axis.   y[i, j] = x[i, ids[i, j]]   (axis 1 of 2)

On the other axes an element is in its own place. A negative index counts from the end. Engines refuse an index outside
the axis before this operator reads it; the operator itself reads the nearest element, so no kernel leaves the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, INT32, UINT8, IntType
from intaglio.program.field_bounds import Axis
from intaglio.program.operator import Ints, Operator, Range, Shape
from intaglio.program.sampling import codes
from intaglio.program.shapes import check_axes


@dataclass(frozen=True, eq=False)
class GatherElements(Operator):
    """Reads data at indices of the same rank; inputs: data, indices.

    Args:
        axis: along which the indices choose; on the others there are as many indices as elements.
    """

    kind: ClassVar[str] = "gather_elements"
    operands: ClassVar[int | None] = 2

    axis: Axis

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the indices."""
        return inputs[1]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the data."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that data and indices differ along the axis only."""
        data, ids = inputs
        check_axes(self, (self.axis,), len(data))
        same = len(data) == len(ids) and all(data[k] == ids[k] for k in range(len(data)) if k != self.axis)
        self.expect(same, f"expected indices of the shape of the data, {data}, beside axis {self.axis}, got {ids}")

    def mixes_samples(self) -> bool:
        """Whether it reads along axis 0."""
        return self.axis == 0

    def operand_range(self, index: int, *inputs: Shape) -> Range | None:
        """Bound the indices by the size of the axis."""
        size = inputs[0][self.axis]
        return (-size, size - 1) if index == 1 else None

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range:
        """Return that of the data."""
        return ranges[0]

    def integer(self, *inputs: Ints) -> Ints:
        """Read the elements."""
        data, ids = inputs
        size = data.shape[self.axis]
        places = ids.astype(np.int64)
        places = np.clip(np.where(places < 0, places + size, places), 0, size - 1)
        return np.take_along_axis(data, places, self.axis)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every axis, fewer and more indices than elements, and negative indices."""
        for type in (INT8, UINT8, INT16):
            for axis, size in ((0, (3, 4, 5)), (0, (2, 4, 5)), (1, (2, 7, 5)), (1, (2, 1, 5)), (2, (2, 4, 2))):
                data = codes(rng, type, (2, 4, 5))
                n = data.shape[axis]
                ids = rng.integers(-n, n, size).astype(INT32.dtype)
                ids.flat[:2] = -n, n - 1
                yield cls(axis), (data, ids)
        yield cls(0), (codes(rng, INT8, (7,)), rng.integers(0, 7, (9,)).astype(np.uint8))
        yield cls(1), (codes(rng, INT32, (2, 3)), rng.integers(-3, 3, (2, 4)).astype(INT32.dtype))
