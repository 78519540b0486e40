"""Data for graph viewers: SQNR overlay for Model Explorer, notes for Netron.

Model Explorer (https://github.com/google-ai-edge/model-explorer) reads "node data": for each graph name, numbers by
node and the colours of their ranges. Netron shows the metadata of ONNX nodes and values unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intaglio.evaluation import LayerDifference
from intaglio.evaluation.gates import SQNR_FLOOR
from intaglio.report import words
from intaglio.report.facts import Facts

if TYPE_CHECKING:
    from intaglio.graph import Graph
    from intaglio.plan import Plan

PREFIX = "intaglio."
# (upper bound in dB, colour below it): below the gate, poor, fair, usual at 8 bits, better.
_COLOURS = ((SQNR_FLOOR, "#c62828"), (15.0, "#ef6c00"), (25.0, "#fbc02d"), (35.0, "#9ccc65"), (math.inf, "#2e7d32"))
_HIGHEST = 1000.0  # dB; stands for infinity, which JSON lacks


def model_explorer_overlay(graph: Graph, layers: Sequence[LayerDifference]) -> dict[str, Any]:
    """Build the SQNR overlay for the exported QDQ model.

    Args:
        graph: the prepared network; the export keeps its node names.
        layers: differences between the float network and the integer program, by value.
    Returns:
        `{graph name: {"results": {node name: {"value": dB}}, "thresholds": [...]}}`; values with an infinite or
        undefined SQNR are left out.
    """
    ratios = {layer.name: layer.sqnr for layer in layers}
    results = {}
    for node in graph.nodes:
        known = [ratios[str(v.name)] for v in node.outputs if math.isfinite(ratios.get(str(v.name), math.nan))]
        if known:
            results[str(node.name)] = {"value": round(min(known), 2)}
    thresholds = [
        {"value": min(bound, _HIGHEST), "bgColor": colour, "textColor": "#000000" if 15 <= bound <= 35 else "#ffffff"}
        for bound, colour in _COLOURS
    ]
    return {graph.name: {"results": results, "thresholds": thresholds}}


def value_notes(plan: Plan, facts: Facts) -> dict[str, dict[str, str]]:
    """Return notes by value name: format, scale, zero point, SQNR, and the Plan's reason."""
    ratios = {layer.name: layer.sqnr for layer in facts.layers}
    return {name: _note(plan, name, ratios) for name in plan.values}


def _note(plan: Plan, name: str, ratios: Mapping[str, float]) -> dict[str, str]:
    value, params = plan.values[name], plan.params(name)
    note = {"source": value.source.value, "why": value.why}
    if value.format is not None:
        note["format"] = str(value.format)
    if value.calibrator:
        note["calibrator"] = value.calibrator
    if params is not None:
        scale, zero_point = params.scale.reshape(-1), params.zero_point.reshape(-1)
        note["scale"] = _span(float(scale.min()), float(scale.max()))
        note["zero_point"] = _span(int(zero_point.min()), int(zero_point.max()))
    if name in ratios:
        note["sqnr"] = words.decibels(ratios[name]).replace("\N{NO-BREAK SPACE}", " ").replace(words.MINUS, "-")
    return {PREFIX + key: words.clean(text) for key, text in note.items()}


def _span(low: float, high: float) -> str:
    """Format a range in full precision, because readers of the file may compute with it."""
    return str(low) if low == high else f"{low} to {high}"
