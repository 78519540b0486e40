"""Survey as one HTML page that loads nothing: its table, which becomes cards on a phone, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from intaglio.report import words
from intaglio.report.page import TEMPLATES
from intaglio.search.survey import Survey, SurveyRow
from intaglio.search.survey_columns import format_of
from intaglio.search.survey_table import SurveyTable
from intaglio.search.survey_table_files import MEAN, float_text, legend, notes, signed

FAIR, LARGE = 0.5, 2.0
"""Losses in points, or in percent of another metric, up to which a cell is green, and beyond which it is red."""
_COLOURS = {"power_of_two": "#3366aa", "symmetric": "#cc6633", "asymmetric": "#338855"}


@dataclass(frozen=True)
class PageCell:
    """Cell of the table: value, change against float, and a class of the style sheet."""

    value: str
    change: str = ""
    level: str = ""


@dataclass(frozen=True)
class PageRow:
    """Row of the table; with a `failure` instead of cells where a network could not be measured."""

    name: str
    cells: tuple[PageCell, ...]
    note: str = ""
    summary: bool = False
    failure: str = ""


@dataclass(frozen=True)
class Page:
    """Content of the page.

    Args:
        title, lead: heading, and the sentence below it.
        columns: headings, that of the rows first; `groups` above them as (heading, columns).
        labels: a full heading for each cell, for the cards.
        rows: the rows.
        notes, legend, failures: below the table.
    """

    title: str
    lead: str
    columns: tuple[str, ...]
    groups: tuple[tuple[str, int], ...]
    labels: tuple[str, ...]
    rows: tuple[PageRow, ...]
    notes: tuple[str, ...]
    legend: tuple[tuple[str, str], ...] = ()
    failures: tuple[tuple[str, str], ...] = ()


def table_page(table: SurveyTable) -> str:
    """Render the page of several networks."""
    groups = [(format_of(t), len(list(same))) for t, same in groupby(table.columns, key=lambda c: c.target)]
    methods = tuple(column.method or "plain" for column in table.columns)
    rows = []
    for row in table.rows:
        found = row.survey
        if found is None:
            rows.append(PageRow(row.name, (), failure=_first_line(row.error)))
            continue
        cells = [PageCell(float_text(found))]
        cells += [_cell(found, row.cell(column)) for column in table.columns]
        rows.append(PageRow(row.name, tuple(cells), f"{found.metric}, {words.count(found.samples, 'sample')}"))
    means = [table.mean_change(column) for column in table.columns]
    if any(value is not None for value in means):
        shown = [PageCell(words.NONE if value is None else _signed(value)) for value in means]
        rows.append(PageRow(MEAN, (PageCell(""), *shown), summary=True))
    page = Page(
        title="Accuracy of integer programs",
        lead=f"{table.metric} of integer programs, each network in several number formats and with several methods. "
        "Beside or below each score its change against float.",
        columns=("Network", "float", *methods),
        groups=(("", 2), *groups),
        labels=("float", *(f"{format_of(c.target)}, {c.method or 'plain'}" for c in table.columns)),
        rows=tuple(rows),
        notes=(*notes(table), _colours()),
        legend=tuple(legend(table)),
        failures=tuple((where, _first_line(reason)) for where, reason in table.failures(cells_only=True)),
    )
    return _rendered(page, "")


def survey_page(survey: Survey) -> str:
    """Render the page of one network: types against methods; the plot needs `plotly`."""
    types, methods = (list(dict.fromkeys(getattr(row.cell, key) for row in survey.rows)) for key in ("type", "method"))
    found = {(row.cell.type, row.cell.method): row for row in survey.rows}
    page = Page(
        title=words.clean(survey.network),
        lead=f"{survey.metric} of the integer program on {words.count(survey.samples, 'sample')}; "
        f"float {float_text(survey)}. Beside or below each score its change against float.",
        columns=("Type", *methods),
        groups=(),
        labels=tuple(methods),
        rows=tuple(PageRow(kind, tuple(_cell(survey, found.get((kind, m))) for m in methods)) for kind in types),
        notes=(*notes(SurveyTable((), ())), _colours()),
        failures=tuple((row.cell.name, _first_line(row.error)) for row in survey.rows if row.error),
    )
    return _rendered(page, _plot(survey))


def _cell(survey: Survey, row: SurveyRow | None) -> PageCell:
    loss = None if row is None else survey.loss(row)
    if row is None or row.score is None or loss is None:
        return PageCell(words.NONE)
    points = loss if survey.metric.startswith("top") else 100 * loss / max(abs(survey.reference), 1e-30)
    level = "good" if points <= FAIR else "bad" if points > LARGE else ""
    return PageCell(f"{row.score:.2f}", _signed(row.score - survey.reference), level)


def _signed(x: float) -> str:
    return signed(x).replace("-", words.MINUS)


def _colours() -> str:
    return f"Green: loses at most {FAIR} points (of metrics without points: percent); red: more than {LARGE:g}."


def _rendered(page: Page, plot: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not part of a core install
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "survey.css"))
    return environment.get_template("survey.html.j2").render(page=page, style=Markup(style), plot=Markup(plot))


def _plot(survey: Survey) -> str:
    """Draw the score of every cell; empty if `plotly` is not installed."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        return ""
    figure = go.Figure()
    for kind in dict.fromkeys(row.cell.type for row in survey.rows):
        figure.add_trace(_trace(go, survey, [row for row in survey.rows if row.cell.type == kind]))
    figure.add_hline(
        y=survey.reference, line={"dash": "dash", "color": "gray"}, annotation_text=f"float {survey.reference:.2f}"
    )
    figure.update_layout(
        yaxis_title=survey.metric,
        template="plotly_white",
        margin={"l": 50, "r": 10, "t": 20, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02},
        height=520,
    )
    figure.update_xaxes(automargin=True)
    drawn: str = figure.to_html(
        include_plotlyjs=True, full_html=False, config={"responsive": True, "displayModeBar": False}
    )
    return drawn


def _trace(go: Any, survey: Survey, rows: Sequence[SurveyRow]) -> Any:
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
    return words.clean(text.splitlines()[0]) if text else ""
