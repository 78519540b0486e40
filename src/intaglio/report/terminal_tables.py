"""Print tables: with rich on a terminal if it is installed, as aligned plain text otherwise."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from intaglio.report.words import clean

if TYPE_CHECKING:
    from rich.table import Table

NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?( ?%| dB)?", re.IGNORECASE)
NOTHING = ("", "-", "equal")  # cells of a missing or infinite number


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, file: TextIO | None = None
) -> None:
    """Print a table; columns of numbers are aligned to the right.

    Args:
        title: line above the table; omitted if empty.
        columns: column headings.
        rows: one cell per column, numbers or text.
        file: output stream; default: standard output.
    """
    file = sys.stdout if file is None else file
    headings = [clean(column) for column in columns]
    texts = [[clean(cell) for cell in row] for row in rows]
    assert all(len(row) == len(headings) for row in texts), (columns, texts)
    right = [_is_numeric([row[i] for row in texts]) for i in range(len(headings))]
    table = _rich_table(title, headings, texts, right) if file.isatty() else None
    if table is not None:
        from rich.console import Console

        Console(file=file).print(table)
    else:
        print(plain_table(clean(title), headings, texts, right), file=file)


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Format the table as text; `right` marks the columns to align to the right."""
    lines = [list(columns), *map(list, rows)]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(columns))]

    def draw(line: Sequence[str]) -> str:
        cells = []
        for text, width, numeric in zip(line, widths, right, strict=True):
            space = " " * (width - _width(text))
            cells.append(space + text if numeric else text + space)
        return "  ".join(cells).rstrip()

    drawn = [draw(columns), "  ".join("-" * width for width in widths), *map(draw, rows)]
    return "\n".join([title, *drawn] if title else drawn)


def _is_numeric(cells: Sequence[str]) -> bool:
    numbers = [cell for cell in cells if cell not in NOTHING]
    return bool(numbers) and all(NUMBER.fullmatch(cell) for cell in numbers)


def _width(text: str) -> int:
    """Return the width of a text in terminal columns: wide East Asian characters count two, combining accents none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _rich_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> Table | None:
    """Build the table with rich; None if rich is not installed."""
    try:
        from rich import box
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return None
    table: Any = Table(title=Text(clean(title)) if title else None, title_justify="left", box=box.SIMPLE_HEAD)
    for column, numeric in zip(columns, right, strict=True):
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text, not str: rich would read brackets in a name as markup
    return table  # type: ignore[no-any-return]
