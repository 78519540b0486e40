"""How sensitive each layer is, measured on a few samples, where that takes seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:  # PyTorch and ONNX are behind these
    from intaglio.graph import Graph
    from intaglio.plan import Plan

SAMPLES = 8
BUDGET = 10**11
"""Multiply-accumulates; some ten seconds on one core. `intaglio sensitivity` measures networks that need more."""


def quick_sensitivities(
    graph: Graph, plan: Plan, reference: Graph | None, inputs: Sequence[NDArray[Any]], macs: int
) -> dict[str, float]:
    """Output SQNR with one layer quantized and all others in float, in dB by node name.

    Args:
        graph, plan: what was quantized.
        reference: the same with its real weights; None where they were not changed.
        inputs: samples, one array per input of the network.
        macs: of one run of the network.
    Returns:
        Infinity where the output stays as it is. Nothing at all where it would take long.
    Raises:
        IntaglioError: the networks cannot be compared.
    """
    from intaglio.evaluation.held_back import ArraySamples
    from intaglio.evaluation.sqnr import MOST
    from intaglio.search import layers_of, sensitivity

    runs = len(layers_of(graph, plan))  # each layer alone and left out, from the middle of the network on average
    samples = min(SAMPLES, len(inputs[0]), BUDGET // max(runs * macs, 1))
    if not samples:
        return {}
    some = ArraySamples([x[:samples] for x in inputs])
    found = sensitivity(graph, plan, some, reference=reference)
    return {layer.name: math.inf if layer.alone.sqnr >= MOST else layer.alone.sqnr for layer in found.layers}
