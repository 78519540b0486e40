"""What a quantized network itself can tell a report, before anything is measured."""

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
    """Steps, weights, activations, costs and memory.

    Args:
        graph, plan: what was quantized.
        steps: how it came about.
        prepared: the float network before its channels were equalized.
        reference: the same after that, before weights were rounded; None: as in `graph`.
        statistics: what calibration observed.
        program: the lowered network.
        layers: float against integer, value by value: the weakest of very many values are shown.
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
