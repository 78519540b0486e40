"""Rows of a table by computed indices, as an embedding looks them up.   y[i, ...] = table[ids[i], ...]

A negative index counts from the end: table[-1] is the last row. Engines refuse an index outside the table: where it
enters a Program (`input_ranges`), or before this operator reads it (`index_checks`). The operator itself reads the
nearest row, so that no kernel leaves the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, INT32, UINT8, IntType
from intaglio.program.operator import Ints, Operator, Range, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class EmbeddingLookup(Operator):
    """Reads a table, (N, ...), at indices of any shape; inputs: table, indices."""

    kind: ClassVar[str] = "embedding_lookup"
    operands: ClassVar[int | None] = 2

    def shape(self, *inputs: Shape) -> Shape:
        """Put the shape of the indices in the place of the table's first axis."""
        table, ids = inputs
        return (*ids, *table[1:])

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the table."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that the table has rows."""
        self.expect(len(inputs[0]) >= 1, "expected a table of rows, got one number")

    def operand_range(self, index: int, *inputs: Shape) -> Range | None:
        """Bound the indices by the table's rows."""
        rows = inputs[0][0]
        return (-rows, rows - 1) if index == 1 else None

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range:
        """Return that of the table."""
        return ranges[0]

    def integer(self, *inputs: Ints) -> Ints:
        """Read the rows."""
        table, ids = inputs
        rows = ids.astype(np.int64)
        rows = np.where(rows < 0, rows + len(table), rows)
        return np.take(table, np.clip(rows, 0, len(table) - 1), axis=0)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover rows of any shape, tables of one row, and negative indices."""
        for type in (INT8, UINT8, INT16):
            for size in ((7, 5), (1, 3), (9,), (4, 2, 3)):
                ids = rng.integers(-size[0], size[0], (2, 6)).astype(INT32.dtype)
                ids[0, :2] = -size[0], size[0] - 1
                yield cls(), (codes(rng, type, size), ids)
        yield cls(), (codes(rng, INT8, (5, 4)), rng.integers(0, 5, (3,)).astype(np.uint8))
