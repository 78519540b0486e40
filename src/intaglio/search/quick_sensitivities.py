"""Measure layer sensitivities for the report on a few samples, if that takes only seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from intaglio.evaluation.held_back import ArraySamples
from intaglio.evaluation.sqnr import MOST
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.search.layer_groups import layers_of
from intaglio.search.sensitivity import sensitivity

SAMPLES = 8
BUDGET = 10**11
"""Most multiply-accumulates to spend, about ten seconds on one core; `intaglio sensitivity` has no such limit."""


def quick_sensitivities(
    graph: Graph, plan: Plan, reference: Graph | None, inputs: Sequence[NDArray[Any]], macs: int
) -> dict[str, float]:
    """Measure output SQNR with one layer quantized and all others in float, in dB by node name.

    Args:
        graph, plan: the quantized network.
        reference: the same network with unrounded weights; None if they were not changed.
        inputs: samples, one array (N, ...) for each network input.
        macs: multiply-accumulates of one run of the network.
    Returns:
        SQNR by layer, infinity if the output does not change; empty if the measurement would exceed `BUDGET`.
    Raises:
        IntaglioError: the networks cannot be compared.
    """
    runs = len(layers_of(graph, plan))  # two half runs for each layer (alone, left out): the part before it is shared
    samples = min(SAMPLES, len(inputs[0]), BUDGET // max(runs * macs, 1))
    if not samples:
        return {}
    some = ArraySamples([x[:samples] for x in inputs])
    found = sensitivity(graph, plan, some, reference=reference)
    return {layer.name: math.inf if layer.alone.sqnr >= MOST else layer.alone.sqnr for layer in found.layers}
