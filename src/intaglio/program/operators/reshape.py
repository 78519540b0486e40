"""Change the shape; the integers and their order stay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, IntType
from intaglio.program.field_bounds import Size
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class Reshape(Operator):
    """Changes the shape to `to`; a first size of -1 is the batch."""

    kind: ClassVar[str] = "reshape"
    moves: ClassVar[bool] = True

    to: tuple[Size, ...]

    def shape(self, *inputs: Shape) -> Shape:
        """Return `to`, with the size that -1 stands for."""
        if self.to[:1] != (-1,):
            return self.to
        return (math.prod(inputs[0]) // math.prod(self.to[1:]), *self.to[1:])

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that the number of elements stays."""
        self.expect(
            all(n >= 1 for n in self.to[1:]) and (not self.to or self.to[0] >= 1 or self.to[0] == -1)
            and math.prod(self.shape(*inputs)) == math.prod(inputs[0]),
            f"shape {inputs[0]} cannot become {self.to}",
        )  # fmt: skip

    def integer(self, *inputs: Ints) -> Ints:
        """Reshape the input."""
        return inputs[0].reshape(self.to)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover shapes with and without an open batch."""
        for shape, to in [((2, 3, 4), (-1, 12)), ((2, 12), (-1, 3, 2, 2)), ((6,), (2, 3)), ((1,), ())]:
            yield cls(to), (codes(rng, INT8, shape),)
