"""Repeat a tensor along axes of size 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, IntType
from intaglio.program.field_bounds import Size
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class Expand(Operator):
    """Expands to the shape `to`, which has at least as many axes as the input; a first size of -1 is the batch."""

    kind: ClassVar[str] = "expand"
    moves: ClassVar[bool] = True

    to: tuple[Size, ...]

    def shape(self, *inputs: Shape) -> Shape:
        """Return `to`, with the input's first size in place of -1."""
        return (inputs[0][0], *self.to[1:]) if self.to[:1] == (-1,) else self.to

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that every size stays or was 1."""
        x, offset = inputs[0], len(self.to) - len(inputs[0])
        self.expect(
            offset >= 0 and all(n >= 1 for n in self.to[1:]) and (self.to[:1] != (-1,) or offset == 0)
            and all(n in (1, to) for n, to in zip(x, self.shape(x)[offset:], strict=True)),
            f"shape {x} does not expand to {self.to}",
        )  # fmt: skip

    def integer(self, *inputs: Ints) -> Ints:
        """Repeat the integers."""
        return np.broadcast_to(inputs[0], self.shape(inputs[0].shape)).copy()

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover some axes, a batch, and a new first axis."""
        yield cls((-1, 4, 3)), (codes(rng, INT8, (2, 1, 3)),)
        yield cls((2, 5)), (codes(rng, INT8, (1, 5)),)
        yield cls((3, 2, 5)), (codes(rng, INT8, (2, 1)),)
