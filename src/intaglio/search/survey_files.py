"""Write a survey of one network as text and CSV."""

from __future__ import annotations

import csv
import io

from intaglio.search.survey import SOURCES, Survey, SurveyRow
from intaglio.search.survey_table_files import change_text

COLUMNS = ("type", "weights", "data", "recovery", "score", "loss", "agreement %", "seconds", "note")


def cells_of(survey: Survey, row: SurveyRow, *, exact: bool = False) -> list[str]:
    """Format a row, one text for each of `COLUMNS`; with two decimals unless `exact`."""
    cell, loss = row.cell, survey.loss(row)

    def number(value: float | None) -> str:
        return "" if value is None else repr(value) if exact else f"{value:.2f}"

    note = row.error if exact else _first_line(row.error)
    return [
        cell.scheme.value.replace("_", "-"),
        f"per {cell.per}",
        SOURCES[cell.source],
        "training" if cell.retrain else "yes" if cell.recover else "no",
        number(row.score),
        number(loss),
        number(row.agreement),
        f"{row.seconds:.1f}",
        note,
    ]


def grid(survey: Survey) -> tuple[list[str], list[list[str]]]:
    """Build the small table: a row for each type, a column `score (change)` for each method; `-` without a score."""
    found = {(row.cell.type, row.cell.method): row for row in survey.rows}
    types, methods = (list(dict.fromkeys(key[k] for key in found)) for k in range(2))

    def text(row: SurveyRow | None) -> str:
        return "-" if row is None or row.score is None else f"{row.score:.2f} ({change_text(survey, row.score)})"

    lines = [[kind, *(text(found.get((kind, method))) for method in methods)] for kind in types]
    return ["type", *methods], lines


def to_csv(survey: Survey) -> str:
    """Format as CSV in full precision: the float network, then one line for each cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name if name != "score" else survey.metric for name in COLUMNS])
    writer.writerow(["float", "", "", "", repr(survey.reference), "0.0", "100.0", "", f"{survey.samples} samples"])
    writer.writerows(cells_of(survey, row, exact=True) for row in survey.rows)
    return text.getvalue()


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
