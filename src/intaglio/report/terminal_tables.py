"""Print tables: with rich on a terminal if it is installed, as aligned plain text otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from intaglio.report.terminal_text import line_width
from intaglio.tables import clean, numeric_columns, text_table

if TYPE_CHECKING:
    from rich.table import Table


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, file: TextIO | None = None
) -> None:
    """Print a table; columns of numbers are aligned to the right, and wide columns of text are folded.

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
    right = numeric_columns(texts, len(headings))
    table = _rich_table(title, headings, texts, right) if file.isatty() else None
    if table is not None:
        from rich.console import Console

        Console(file=file).print(table)
    else:
        print(text_table(title, headings, texts, right, line_width()), file=file)


def print_wide_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, fixed: int = 1, width: int | None = None
) -> None:
    """Print a table whose columns do not fit beside each other as several tables.

    Args:
        title, columns, rows: as for `print_table`.
        fixed: number of columns at the left that each table repeats.
        width: longest line; None: see `line_width`.
    """
    widths = [max(len(str(line[i])) for line in (columns, *rows)) for i in range(len(columns))]
    room = (line_width() if width is None else width) - sum(widths[:fixed]) - 2 * (fixed - 1)
    groups: list[list[int]] = [[]]
    for i in range(fixed, len(columns)):
        if groups[-1] and sum(widths[j] + 2 for j in (*groups[-1], i)) > room:
            groups.append([])
        groups[-1].append(i)
    for k, group in enumerate(groups):
        shown = [*range(fixed), *group]
        print_table("" if k else title, [columns[i] for i in shown], [[row[i] for i in shown] for row in rows])


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
    table: Any = Table(
        title=Text(clean(title)) if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),  # as narrow as plain text: two spaces between columns, with the box's own
    )
    for column, numeric in zip(columns, right, strict=True):
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text, not str: rich would read brackets in a name as markup
    return table  # type: ignore[no-any-return]
