"""Tables as aligned plain text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?( ?%| dB)?", re.IGNORECASE)
NOTHING = ("", "-", "equal")  # cells of a missing or infinite number


def clean(text: object) -> str:
    """Replace unprintable characters: a name from a model must not send control characters to a terminal or page."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def text_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[bool] | None = None
) -> str:
    """Format a table as text.

    Args:
        title: line above the table; omitted if empty.
        columns: column headings.
        rows: one cell per column, numbers or text.
        right: which columns to align to the right; None: those of numbers.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    lines = [[clean(column) for column in columns], *cells]
    assert all(len(line) == len(columns) for line in lines), (columns, lines)
    sides = numeric_columns(cells, len(columns)) if right is None else right
    widths = [max(_width(line[i]) for line in lines) for i in range(len(columns))]

    def draw(line: Sequence[str]) -> str:
        parts = []
        for text, width, numeric in zip(line, widths, sides, strict=True):
            space = " " * (width - _width(text))
            parts.append(space + text if numeric else text + space)
        return "  ".join(parts).rstrip()

    drawn = [draw(lines[0]), "  ".join("-" * width for width in widths), *map(draw, cells)]
    return "\n".join([clean(title), *drawn] if title else drawn)


def numeric_columns(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    """Tell for each column whether it holds numbers."""
    return [_is_numeric([row[i] for row in rows]) for i in range(columns)]


def _is_numeric(cells: Sequence[str]) -> bool:
    numbers = [cell for cell in cells if cell not in NOTHING]
    return bool(numbers) and all(NUMBER.fullmatch(cell) for cell in numbers)


def _width(text: str) -> int:
    """Return the width of a text in terminal columns: wide East Asian characters count two, combining accents none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
