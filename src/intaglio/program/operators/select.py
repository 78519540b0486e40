"""Choice between two operands that broadcast, element by element.   y = a where the condition is not 0, else b"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import BOOLEAN, INT8, INT16, IntType
from intaglio.program.operator import Ints, Operator, Range, Shape
from intaglio.program.sampling import codes
from intaglio.program.shapes import broadcast


@dataclass(frozen=True, eq=False)
class Select(Operator):
    """Moves codes of two operands with one scale and zero point; inputs: condition, a, b."""

    kind: ClassVar[str] = "select"
    operands: ClassVar[int | None] = 3

    def shape(self, *inputs: Shape) -> Shape:
        """Broadcast condition and operands."""
        return broadcast(self, *inputs)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the operands."""
        return inputs[1]

    def check(self, *inputs: Shape) -> None:
        """Check that condition and operands broadcast."""
        broadcast(self, *inputs)

    def check_types(self, *inputs: IntType) -> None:
        """Check that both operands have one type."""
        self.expect(inputs[1] == inputs[2], f"expected operands of one type, got {inputs[1]} and {inputs[2]}")

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range:
        """Return what holds both operands."""
        _, a, b = ranges
        return min(a[0], b[0]), max(a[1], b[1])

    def integer(self, *inputs: Ints) -> Ints:
        """Choose."""
        condition, a, b = inputs
        return np.where(condition != 0, a, b)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover operands of equal shape, and each of the three broadcast."""
        for type in (INT8, INT16, BOOLEAN):
            whole, shapes = (2, 5, 4), ((2, 1, 4), (1, 5, 1), (1, 1, 4))
            for narrow in (None, 0, 1, 2):
                sizes = [shapes[i] if i == narrow else whole for i in range(3)]
                yield cls(), tuple(codes(rng, t, s) for t, s in zip((BOOLEAN, type, type), sizes, strict=True))
