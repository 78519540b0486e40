"""Collect report facts from a quantized network itself, without evaluation data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from intaglio.errors import CompileError
from intaglio.evaluation import LayerDifference
from intaglio.report.activations import activation_histograms
from intaglio.report.arena import arena_over_time
from intaglio.report.costs import operator_costs
from intaglio.report.facts import Facts
from intaglio.report.weight_plots import channel_ranges

if TYPE_CHECKING:  # PyTorch and ONNX are behind these
    from intaglio.calibrate import Statistics
    from intaglio.graph import Graph
    from intaglio.plan import Plan, Step
    from intaglio.program import Program


def known_facts(
    graph: Graph,
    plan: Plan,
    *,
    steps: Sequence[Step] = (),
    prepared: Graph | None = None,
    reference: Graph | None = None,
    statistics: Statistics | None = None,
    program: Program | None = None,
    layers: Sequence[LayerDifference] = (),
) -> Facts:
    """Collect steps, weight ranges, activation histograms, costs and memory.

    Args:
        graph, plan: the quantized network.
        steps: its history.
        prepared: the float network before channels were equalized.
        reference: the float network after equalization, before weights were rounded; None: `graph`.
        statistics: statistics of the calibration.
        program: the lowered network.
        layers: differences between the float network and the Program; if there are too many values to draw, those
            with the lowest SQNR are shown.
    """
    arena = None
    if program is not None:
        try:
            arena = arena_over_time(program)
        except CompileError as error:
            from intaglio.plan import Step

            steps = (*steps, Step("memory", f"the memory is not shown: {error}"))
    ratios = {layer.name: layer.sqnr for layer in layers}
    return Facts(
        layers=layers,
        steps=tuple(steps),
        channels=channel_ranges(reference or graph, prepared),
        histograms=() if statistics is None else activation_histograms(plan, statistics, ratios),
        costs=() if program is None else operator_costs(program),
        arena=arena,
    )
