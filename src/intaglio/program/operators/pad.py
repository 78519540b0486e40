"""Pad with one code; negative amounts crop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, UINT8, IntType
from intaglio.program.field_bounds import Code, Offset
from intaglio.program.operator import Ints, Operator, Range, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class Pad(Operator):
    """Adds elements before and after each axis.

    Args:
        before, after: number of added elements for each axis; a negative number removes elements.
        value: the code of the new elements (the zero point, for real 0).
    """

    kind: ClassVar[str] = "pad"

    before: tuple[Offset, ...]
    after: tuple[Offset, ...]
    value: Code

    def shape(self, *inputs: Shape) -> Shape:
        """Add both amounts to each size."""
        return tuple(b + n + a for b, n, a in zip(self.before, inputs[0], self.after, strict=True))

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that each axis has two amounts and keeps an element of the input."""
        self.expect(
            len(self.before) == len(self.after) == len(inputs[0])
            and all(max(-b, 0) + max(-a, 0) < n for b, n, a in zip(self.before, inputs[0], self.after, strict=True)),
            f"amounts {self.before} and {self.after} do not fit shape {inputs[0]}",
        )

    def check_types(self, *inputs: IntType) -> None:
        """Check that the value is a code."""
        self.expect(inputs[0].holds(np.asarray(self.value)), f"value {self.value} is no code of {inputs[0]}")

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range:
        """Return what holds the input and the value."""
        low, high = ranges[0]
        return min(low, self.value), max(high, self.value)

    def integer(self, *inputs: Ints) -> Ints:
        """Pad the input."""
        x = inputs[0]
        y = np.full_like(x, self.value, shape=self.shape(x.shape))
        pairs = list(zip(self.before, x.shape, self.after, strict=True))
        source = tuple(slice(max(-b, 0), n - max(-a, 0)) for b, n, a in pairs)
        target = tuple(
            slice(max(b, 0), max(b, 0) + s.stop - s.start) for (b, _, _), s in zip(pairs, source, strict=True)
        )
        y[target] = x[source]
        return y

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover images, channels, unequal sides, crops."""
        for type in (INT8, UINT8, INT16):
            x = codes(rng, type, (2, 4, 5, 3))
            yield cls((0, 1, 1, 0), (0, 1, 1, 0), type.qmin), (x,)
            yield cls((0, 0, 0, 1), (0, 2, 0, 2), 3), (x,)
            yield cls((0, -1, 2, 0), (0, -2, -3, 0), type.qmax), (x,)
