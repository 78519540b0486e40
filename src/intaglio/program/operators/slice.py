"""Part of a tensor.   y[..., k, ...] = x[..., start + k * step, ...]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, IntType
from intaglio.program.field_bounds import Amount, Axis, Offset, Size
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes
from intaglio.program.shapes import check_axes


@dataclass(frozen=True, eq=False)
class Slice(Operator):
    """Takes a part along some axes; the others stay whole.

    Args:
        axes: which axes are sliced.
        starts: first index along each, 0 to size - 1.
        stops: exclusive end along each, as in `range`: 0 to size for positive steps, -1 to size - 1 for negative
            ones (-1 is the position before index 0, not the last element).
        steps: not 0; a negative step goes backwards.
    """

    kind: ClassVar[str] = "slice"
    moves: ClassVar[bool] = True

    axes: tuple[Axis, ...]
    starts: tuple[Amount, ...]
    stops: tuple[Size, ...]
    steps: tuple[Offset, ...]

    def shape(self, *inputs: Shape) -> Shape:
        """Count the elements of each range."""
        shape = list(inputs[0])
        for axis, start, stop, step in zip(self.axes, self.starts, self.stops, self.steps, strict=True):
            shape[axis] = len(range(start, stop, step))
        return tuple(shape)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that every index is inside and that the result is not empty."""
        self.expect(len(self.axes) == len(self.starts) == len(self.stops) == len(self.steps), "expected equal counts")
        check_axes(self, self.axes, len(inputs[0]))
        for axis, start, stop, step in zip(self.axes, self.starts, self.stops, self.steps, strict=True):
            n = inputs[0][axis]
            inside = 0 <= start < n and (0 <= stop <= n if step > 0 else -1 <= stop < n)
            self.expect(
                step != 0 and inside and len(range(start, stop, step)) > 0,
                f"{start}:{stop}:{step} is not within axis {axis} of shape {inputs[0]}",
            )

    def integer(self, *inputs: Ints) -> Ints:
        """Take the part."""
        index = [slice(None)] * inputs[0].ndim
        for axis, start, stop, step in zip(self.axes, self.starts, self.stops, self.steps, strict=True):
            index[axis] = slice(start, None if stop < 0 else stop, step)
        return np.ascontiguousarray(inputs[0][tuple(index)])

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover steps forwards and backwards to the first element, several axes, and no axis."""
        x = codes(rng, INT8, (2, 6, 5, 4))
        yield cls((1,), (1,), (5,), (2,)), (x,)
        yield cls((1, 3), (5, 2), (-1, 0), (-2, -1)), (x,)
        yield cls((2, 1, 3), (0, 5, 3), (5, 6, 4), (1, 1, 1)), (x,)
        yield cls((), (), (), ()), (x,)
