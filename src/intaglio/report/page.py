"""The report: one self-contained HTML page. Nothing in it reaches for the network, and names in it are only text."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.errors import ExportError
from intaglio.report import words
from intaglio.report.coverage import coverage
from intaglio.report.facts import Facts
from intaglio.report.headline import tiles, verdict
from intaglio.report.plot import sqnr_plot
from intaglio.report.values import value_rows

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
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(text.encode("utf-8", "replace"))
        os.replace(temporary, path)
    except OSError as error:
        raise ExportError(f"{path}: expected to write the report here, got: {error.strerror or error}") from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


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
    style, script = (_asset(f"report.{kind}") for kind in ("css", "js"))
    rows = value_rows(graph, plan, facts)
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
        plot=sqnr_plot(facts.layers, rows),
        coverage=coverage(plan),
        history=[words.clean(sentence) for sentence in facts.history],
        style=Markup(style),  # our own two files, the only text that is not escaped
        script=Markup(script),
        # The browser runs this one script and loads nothing at all, whatever a name in the page may try.
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src '{_hash(script)}'",
    )


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
