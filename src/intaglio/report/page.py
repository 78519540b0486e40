"""Render the report: one self-contained HTML page that loads nothing and treats all names as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.errors import ExportError
from intaglio.files import whole_file
from intaglio.report import words
from intaglio.report.arena import arena_picture
from intaglio.report.charts import PASSES, as_script, charts
from intaglio.report.costs import cost_totals
from intaglio.report.coverage import coverage
from intaglio.report.facts import Facts
from intaglio.report.headline import tiles, verdict
from intaglio.report.library import plotting_library, script_hash
from intaglio.report.plot import sqnr_plot
from intaglio.report.value_rows import value_rows

if TYPE_CHECKING:
    from intaglio.graph import Graph
    from intaglio.plan import Plan

TEMPLATES = Path(__file__).parent / "templates"


def write_report(path: Path, graph: Graph, plan: Plan, facts: Facts) -> None:
    """Write the report as one HTML file.

    Args:
        path: the HTML file; written atomically.
        graph: the prepared float network.
        plan: Plan of this graph, calibrated or not.
        facts: measured facts; sections without data are left out.
    Raises:
        ExportError: the file cannot be written.
        PlanError: the Plan refers to a value that it does not contain.
    """
    text = render_report(graph, plan, facts)
    try:
        with whole_file(path) as written:
            written.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise ExportError(f"{path}: expected to write the report here, got: {error.strerror or error}") from error


def render_report(graph: Graph, plan: Plan, facts: Facts) -> str:
    """Render the page as HTML text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not part of a core install
    from markupsafe import Markup

    # Names come from models that somebody else may have written, so autoescape is on for all templates.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script, plots = (_asset(name) for name in ("report.css", "report.js", "plots.js"))
    rows = value_rows(graph, plan, facts)
    drawn = charts(facts, rows)
    library = plotting_library() if drawn else None
    scripts = [script, *([plots] if library else [])]
    allowed = [*map(script_hash, scripts), *([library.hash] if library else [])]
    return environment.get_template("report.html.j2").render(
        title=words.clean(f"{graph.name} on {plan.target}"),
        graph_name=words.clean(graph.name),
        target=words.clean(facts.target or plan.target),
        rule=plan.rule.value.replace("_", " "),
        accumulator=plan.accumulator,
        verdict=verdict(facts),
        tiles=tiles(facts),
        gates=facts.gates,
        rows=rows,
        measured=any(row.ratio is not None for row in rows),
        sensed=any(row.sensitivity is not None for row in rows),
        plot=sqnr_plot(facts.layers, rows),
        coverage=coverage(plan),
        facts=facts,
        made=[step for step in facts.steps if step.algorithm != PASSES],
        passes=[step for step in facts.steps if step.algorithm == PASSES],
        words=words,
        totals=cost_totals(facts.costs),
        charts=drawn,
        # The only unescaped text: JSON without angle brackets, our SVG with escaped names, our files, and the library.
        data=Markup(as_script(drawn)),
        arena=None if not facts.arena else Markup(arena_picture(facts.arena, graph.name)),
        library=None if library is None else Markup(library.packed),
        style=Markup(style),
        scripts=[Markup(text) for text in scripts],
        # The browser may run only these scripts and may load nothing; pictures are embedded as data: URLs.
        policy="default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src "
        + " ".join(f"'{one}'" for one in allowed),
    )


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
