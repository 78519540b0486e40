"""What `intaglio survey` prints: lines while it measures, tables, and reasons of what has no result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from intaglio.report.terminal_tables import print_wide_table
from intaglio.report.terminal_text import folded
from intaglio.tables import text_table

if TYPE_CHECKING:
    from intaglio.search.survey import Survey, SurveyRow
    from intaglio.search.survey_table import NetworkRow, SurveyTable


def show_table(table: SurveyTable) -> None:
    """Print the table of several networks, and what its columns mean."""
    from intaglio.search.survey_table_files import headings, legend, lines_of, notes, title

    print_wide_table(title(table), headings(table.columns), lines_of(table, table.columns), fixed=3)
    for name, meaning in legend(table):
        print(folded(meaning, f"{name}: ", "  "))
    for note in notes(table):
        print(folded(note))
    say_why(table.failures())


def tell_cell(row: SurveyRow) -> None:
    """Print the score of a cell when it is known."""
    score = "no result" if row.score is None else f"{row.score:.2f}"
    print(f"{row.cell.name}: {score} ({row.seconds:.1f} s)", file=sys.stderr)


def tell_note(text: str) -> None:
    """Print a note."""
    print(text, file=sys.stderr)


def tell_network(row: NetworkRow) -> None:
    """Print that a network is done, or why it is not measured."""
    if row.survey is None:
        print(f"{row.name}: not measured: {row.error}", file=sys.stderr)
    else:
        print(f"{row.name}: float {row.survey.reference:.2f}, done", file=sys.stderr)


def grid_title(found: Survey) -> str:
    """Return the title of the table of one network."""
    error = f" +- {found.standard_error:.2f}" if found.metric.startswith("top") else ""
    return (
        f"{found.network}: {found.metric} (change) of integer programs on {found.samples} samples; "
        f"float {found.reference:.2f}{error}"
    )


def grid_text(found: Survey, columns: Any, texts: list[list[str]], headings: list[str], lines: list[list[str]]) -> str:
    """Format both tables: the grid, and one line for each cell."""
    small = text_table(grid_title(found), headings, lines, [False] + [True] * (len(headings) - 1))
    numeric = [name in ("score", "loss", "agreement %", "seconds") for name in columns]
    return f"{small}\n\n{text_table('', columns, texts, numeric)}\n"


def say_why(failures: Sequence[tuple[str, str]]) -> None:
    """Print the reason of everything without a result; what has the same reason shares a line."""
    reasons: dict[str, list[str]] = {}
    for name, error in failures:
        reasons.setdefault(error.splitlines()[0], []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(folded(reason, f"no result of {names[0]}{more}: ", "  "))


def grid_facts(found: Survey) -> dict[str, Any]:
    """Return the survey of one network as plain data, for --json."""
    rows = [
        {
            "scheme": row.cell.scheme.value,
            "per": row.cell.per,
            "data": row.cell.source,
            "recovery": row.cell.recover,
            "retraining": row.cell.retrain,
            "score": row.score,
            "loss": found.loss(row),
            "agreement": row.agreement,
            "seconds": round(row.seconds, 3),
            "error": row.error,
        }
        for row in found.rows
    ]
    return {
        "network": found.network,
        "metric": found.metric,
        "float": found.reference,
        "samples": found.samples,
        "rows": rows,
    }
