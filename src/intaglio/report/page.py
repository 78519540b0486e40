"""The report: one self-contained HTML page. Nothing in it reaches for the network, and names in it are only text."""

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
    """Draw the Plan and what was measured as one HTML file.

    Args:
        path: of the file; it appears whole or not at all.
        graph: the prepared float network.
        plan: of this graph, calibrated or not.
        facts: what was measured; parts that are missing are left out of the page.
    Raises:
        ExportError: the file cannot be written.
        PlanError: the Plan refers to values that it does not have.
    """
    text = render_report(graph, plan, facts)
    try:
        with whole_file(path) as written:
            written.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise ExportError(f"{path}: expected to write the report here, got: {error.strerror or error}") from error


def render_report(graph: Graph, plan: Plan, facts: Facts) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # the integer side has no use for it
    from markupsafe import Markup

    # Every name in the page comes from a model that somebody else may have written: autoescape is for all templates.
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
        # JSON without a single angle bracket, SVG of our own with escaped names, our own files, and the library: the
        # only text that is not escaped.
        data=Markup(as_script(drawn)),
        arena=None if not facts.arena else Markup(arena_picture(facts.arena, graph.name)),
        library=None if library is None else Markup(library.packed),
        style=Markup(style),
        scripts=[Markup(text) for text in scripts],
        # The browser runs these scripts and loads nothing at all, whatever a name in the page may try; pictures are
        # part of the page.
        policy="default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src "
        + " ".join(f"'{one}'" for one in allowed),
    )


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
