"""Write a survey of several networks as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from intaglio.search.survey import Survey
from intaglio.search.survey_columns import METHODS, Column, format_of
from intaglio.search.survey_table import NetworkRow, SurveyTable
from intaglio.tables import text_table

MEAN = "mean change"


def title(table: SurveyTable) -> str:
    """Say what the numbers are."""
    return f"{table.metric or 'score'} of integer programs; in brackets the change against float"


def float_text(found: Survey) -> str:
    """Format the score of the float network, with its standard error where it is known."""
    error = found.standard_error
    return f"{found.reference:.2f}" + ("" if math.isnan(error) else f" ±{error:.2f}")


def change_text(found: Survey, score: float) -> str:
    """Format the difference to the float network with its sign."""
    return signed(score - found.reference)


def signed(change: float) -> str:
    """Format a change with its sign; `0.00` has none."""
    text = f"{change:+.2f}"
    return text[1:] if float(text) == 0 else text


def cells_of(table: SurveyTable, row: NetworkRow, columns: Sequence[Column]) -> list[str]:
    """Format a row: network, samples, float, and `score (change)` in each column; `-` without a score."""
    found = row.survey
    if found is None:
        return [row.name, "-", "-", *("-" for _ in columns)]
    texts = [row.name, f"{found.samples:,}", float_text(found)]
    for column in columns:
        cell = row.cell(column)
        score = None if cell is None else cell.score
        texts.append("-" if score is None else f"{score:.2f} ({change_text(found, score)})")
    return texts


def mean_cells(table: SurveyTable, columns: Sequence[Column]) -> list[str] | None:
    """Format the row of mean changes; None if no column has one."""
    means = [table.mean_change(column) for column in columns]
    if all(value is None for value in means):
        return None
    return [MEAN, "", "", *("-" if value is None else signed(value) for value in means)]


def lines_of(table: SurveyTable, columns: Sequence[Column]) -> list[list[str]]:
    """Format all rows, that of the mean changes last."""
    last = mean_cells(table, columns)
    return [*(cells_of(table, row, columns) for row in table.rows), *([last] if last else [])]


def headings(columns: Sequence[Column]) -> list[str]:
    """Return the column headings of text and Markdown."""
    return ["network", "samples", "float", *(column.name for column in columns)]


def legend(table: SurveyTable) -> list[tuple[str, str]]:
    """List (part of a column's name, meaning): the targets, then the methods."""
    targets = {column.target.name: format_of(column.target) for column in table.columns}
    methods = [method for method in METHODS if any(column.method == method for column in table.columns)]
    return [*targets.items(), *((f"+{method}" if method else "plain", METHODS[method]) for method in methods)]


def notes(table: SurveyTable) -> list[str]:
    """Say how the numbers were measured."""
    return [
        "Every score is that of the integer program, whose integers are the same on every processor; not of a "
        "simulation.",
        "± is one standard error of the float score: with few samples, smaller changes may be chance.",
    ]


def to_text(table: SurveyTable) -> str:
    """Format as one wide text table, with legend, notes and reasons."""
    parts = [f"{title(table)}\n{_text(table, table.columns)}"]
    parts.append("\n".join(f"{name}: {meaning}" for name, meaning in legend(table)))
    parts.append("\n".join(notes(table)))
    parts += ["\n".join(f"{where}: {_line(reason)}" for where, reason in table.failures())]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_markdown(table: SurveyTable) -> str:
    """Format as a Markdown table, with legend, notes and reasons as lists."""
    names = headings(table.columns)
    lines = [f"{title(table)}:", "", _row(names), _row(["---", *("---:" for _ in names[1:])])]
    lines += [_row(cells) for cells in lines_of(table, table.columns)]
    lines += ["", *(f"- `{name}`: {meaning}" for name, meaning in legend(table))]
    lines += ["", *(f"- {note}" for note in notes(table))]
    failures = table.failures()
    lines += [""] * bool(failures) + [f"- {_escaped(where)}: {_escaped(_line(reason))}" for where, reason in failures]
    return "\n".join(lines) + "\n"


def to_csv(table: SurveyTable) -> str:
    """Format as CSV in full precision: a line for each network; score, loss and agreement of each column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{column.name}{part}" for column in table.columns for part in ("", " loss", " agreement %")]
    writer.writerow(["network", "metric", "samples", "float", "standard error", *names, "note"])
    for row in table.rows:
        found = row.survey
        if found is None:
            writer.writerow([row.name, *[""] * (4 + len(names)), row.error])
            continue
        cells = [row.cell(column) for column in table.columns]
        numbers = [
            number
            for cell in cells
            for number in ((None, None, None) if cell is None else (cell.score, row.survey_loss(cell), cell.agreement))
        ]
        errors = "; ".join(f"{cell.cell.name}: {cell.error}" for cell in cells if cell is not None and cell.error)
        error = found.standard_error
        facts = [row.name, found.metric, found.samples, repr(found.reference), "" if math.isnan(error) else repr(error)]
        writer.writerow([*facts, *("" if n is None else repr(n) for n in numbers), errors])
    return text.getvalue()


def to_json(table: SurveyTable) -> dict[str, Any]:
    """Return plain data, as `survey --json` prints."""
    return {
        "columns": [{"name": c.name, "target": c.target.name, "method": c.method} for c in table.columns],
        "networks": [
            {
                "name": row.name,
                "error": row.error,
                "metric": row.survey and row.survey.metric,
                "samples": row.survey and row.survey.samples,
                "float": row.survey and row.survey.reference,
                "results": [
                    {
                        "column": cell.cell.name,
                        "score": cell.score,
                        "loss": row.survey_loss(cell),
                        "agreement": cell.agreement,
                        "seconds": round(cell.seconds, 3),
                        "error": cell.error,
                    }
                    for cell in (() if row.survey is None else row.survey.rows)
                ],
            }
            for row in table.rows
        ],
    }


def _text(table: SurveyTable, columns: Sequence[Column]) -> str:
    names = headings(columns)
    return text_table("", names, lines_of(table, columns), [False] + [True] * (len(names) - 1))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _line(text: str) -> str:
    return text.splitlines()[0] if text else ""
