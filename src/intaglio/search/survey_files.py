"""Write a survey as text, CSV and an HTML plot."""

from __future__ import annotations

import csv
import io
from typing import Any

from intaglio.search.survey import SOURCES, Survey, SurveyRow

COLUMNS = ("type", "weights", "data", "recovery", "score", "loss", "agreement %", "seconds", "note")
_COLOURS = {"power_of_two": "#3366aa", "symmetric": "#cc6633", "asymmetric": "#338855"}


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
        "yes" if cell.recover else "no",
        number(row.score),
        number(loss),
        number(row.agreement),
        f"{row.seconds:.1f}",
        note,
    ]


def grid(survey: Survey) -> tuple[list[str], list[list[str]]]:
    """Build the small table: a row for each type, a column `score (loss)` for each method; `-` without a score."""
    found = {(row.cell.type, row.cell.method): row for row in survey.rows}
    types, methods = (list(dict.fromkeys(key[k] for key in found)) for k in range(2))

    def text(row: SurveyRow | None) -> str:
        return "-" if row is None or row.score is None else f"{row.score:.2f} ({survey.loss(row):+.2f})"

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


def to_html(survey: Survey) -> str | None:
    """Render a self-contained page with the score of every cell; None if `plotly` is not installed."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        return None
    figure = go.Figure()
    for kind in dict.fromkeys(row.cell.type for row in survey.rows):
        figure.add_trace(_trace(go, survey, [row for row in survey.rows if row.cell.type == kind]))
    figure.add_hline(
        y=survey.reference, line={"dash": "dash", "color": "gray"}, annotation_text=f"float {survey.reference:.2f}"
    )
    figure.update_layout(
        title=f"{survey.network}: {survey.metric} of the integer program on {survey.samples} samples",
        yaxis_title=survey.metric,
        template="plotly_white",
        legend_title="type",
    )
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return page


def _trace(go: Any, survey: Survey, rows: list[SurveyRow]) -> Any:
    """Draw the scores of one type over the methods."""
    colour, filled = _COLOURS[rows[0].cell.scheme.value], rows[0].cell.per == "channel"
    hover = [
        f"{row.cell.name}<br>{survey.metric} {row.score:.2f}, loss {survey.loss(row):.2f}"
        if row.score is not None
        else f"{row.cell.name}<br>{_first_line(row.error)}"
        for row in rows
    ]
    return go.Scatter(
        x=[row.cell.method for row in rows],
        y=[row.score for row in rows],
        name=rows[0].cell.type,
        mode="lines+markers",
        line={"color": colour, "dash": "solid" if filled else "dot"},
        marker={"size": 9, "symbol": "circle" if filled else "circle-open"},
        text=hover,
        hoverinfo="text",
    )


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
