"""Tables as aligned plain text."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest

NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?( ?%| dB)?( \([+-]?[\d.]+\)| ±[\d.]+)?", re.IGNORECASE)
NOTHING = ("", "-", "equal")  # cells of a missing or infinite number
NARROWEST = 12  # columns of text are not folded to less


def clean(text: object) -> str:
    """Replace unprintable characters: a name from a model must not send control characters to a terminal or page."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def text_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Sequence[bool] | None = None,
    limit: int | None = None,
) -> str:
    """Format a table as text.

    Args:
        title: line above the table; omitted if empty.
        columns: column headings.
        rows: one cell per column, numbers or text.
        right: which columns to align to the right; None: those of numbers.
        limit: longest line; columns of text are folded until lines fit or all are narrow. None: do not fold.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    lines = [[clean(column) for column in columns], *cells]
    assert all(len(line) == len(columns) for line in lines), (columns, lines)
    sides = numeric_columns(cells, len(columns)) if right is None else right
    widths = [max(_width(line[i]) for line in lines) for i in range(len(columns))]
    if limit is not None:
        widths = _narrowed(widths, lines, sides, limit)
        cells = [part for row in cells for part in _folded(row, widths)]

    def draw(line: Sequence[str]) -> str:
        parts = []
        for text, width, numeric in zip(line, widths, sides, strict=True):
            space = " " * (width - _width(text))
            parts.append(space + text if numeric else text + space)
        return "  ".join(parts).rstrip()

    drawn = [draw(lines[0]), "  ".join("-" * width for width in widths), *map(draw, cells)]
    return "\n".join([clean(title), *drawn] if title else drawn)


def _narrowed(widths: list[int], lines: Sequence[Sequence[str]], right: Sequence[bool], limit: int) -> list[int]:
    """Take from the widest columns of text what is too much; words, such as names of layers, are broken last."""
    widths, floors = list(widths), [max(_width(name), NARROWEST) for name in lines[0]]
    words = [max(_width(word) for line in lines for word in (line[i].split() or [""])) for i in range(len(widths))]
    for least in (list(map(max, floors, words)), floors):
        while sum(widths) + 2 * (len(widths) - 1) > limit:
            wide = [i for i in range(len(widths)) if not right[i] and widths[i] > least[i]]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _folded(row: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """Break the cells of a row that are wider than their columns; return one row for each line."""
    cells = [
        textwrap.wrap(text, width, break_on_hyphens=False) if _width(text) > width else [text]
        for text, width in zip(row, widths, strict=True)
    ]
    return [list(line) for line in zip_longest(*cells, fillvalue="")]


def numeric_columns(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    """Tell for each column whether it holds numbers."""
    return [_is_numeric([row[i] for row in rows]) for i in range(columns)]


def _is_numeric(cells: Sequence[str]) -> bool:
    numbers = [cell for cell in cells if cell not in NOTHING]
    return bool(numbers) and all(NUMBER.fullmatch(cell) for cell in numbers)


def _width(text: str) -> int:
    """Return the width of a text in terminal columns: wide East Asian characters count two, combining accents none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
