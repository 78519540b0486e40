"""Sequential bias correction: make each layer's mean output equal that of the float network, one layer after another.

    b'[o] = b[o] + mean( y[o] ) - mean( y_q[o] )

y_q is the layer's output before rounding, in the quantized network with earlier layers already corrected. So shifts by
activation rounding and clipping are corrected too. The values in front of the current layer are cached for all samples
(see `activation_cache`): each node runs once over them, and each layer once more.

Source: Nagel et al. 2019, arXiv:1906.04721, appendix D.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.calibrate.parameters.derive import derive
from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.graph.access import attribute
from intaglio.graph.unique_names import names_kept
from intaglio.plan import Plan
from intaglio.progress import progress
from intaglio.recover.activation_cache import ActivationCache
from intaglio.recover.biases import CHANNEL_AXIS, add_to_bias, bias_layers, settle
from intaglio.simulate import Simulator

Means = NDArray[np.float64]


def corrected_in_order(graph: Graph, plan: Plan, samples: Samples, reference: Graph) -> tuple[Graph, Plan]:
    """Correct every layer that can have a bias.

    Args:
        graph, plan: the calibrated network; not modified.
        samples: inputs for the means.
        reference: the float network.
    Returns:
        The corrected network.
    """
    graph, plan = graph.copy(), plan.copy()
    derive(graph, plan)
    layers = bias_layers(graph)
    wanted = _mean_outputs(reference, samples)
    quantized = Simulator(graph, plan)
    given, at = ActivationCache.at_inputs(quantized, samples), 0
    place = quantized.places
    read = _read_from(quantized, {place[node] for node in layers})
    with names_kept(graph.model.graph):
        for node in progress(layers, len(layers), "bias correction"):
            stop = place[node]
            given, at = given.run_nodes(quantized, at, stop, read[stop]), stop
            total = _ChannelMean()
            with torch.no_grad():
                for _, values in given.batches(quantized.device):
                    total.add(node, quantized.span(stop, stop + 1, values, [_result(node)], rounding={})[_result(node)])
            add_to_bias(graph, plan, node, (wanted[_result(node)] - total.mean) / attribute(node, "beta", 1.0))
            quantized = settle(graph, plan, quantized, [node])
    return graph, plan


class _ChannelMean:
    """Mean of a layer's output channels over samples and positions."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.count = 0

    def add(self, node: ir.Node, y: Tensor) -> None:
        axis = CHANNEL_AXIS[node.op_type] % y.ndim
        self.total = self.total + y.double().sum([k for k in range(y.ndim) if k != axis])
        self.count += y.numel() // y.shape[axis]

    @property
    def mean(self) -> Means:
        assert isinstance(self.total, Tensor)
        return np.asarray((self.total / self.count).cpu().numpy())


def _mean_outputs(graph: Graph, samples: Samples) -> dict[str, Means]:
    """Measure the mean outputs of the float network's layers, by value name."""
    nodes = {_result(node): node for node in bias_layers(graph)}
    found = {name: _ChannelMean() for name in nodes}
    simulator = Simulator(graph)

    def observe(name: str, x: Tensor) -> None:
        if name in found:
            found[name].add(nodes[name], x)

    with torch.no_grad():
        for feed in samples.feeds(simulator):
            simulator(feed, observe)
    return {name: total.mean for name, total in found.items()}


def _result(node: ir.Node) -> str:
    return str(node.outputs[0].name)


def _read_from(simulator: Simulator, starts: Collection[int]) -> dict[int, set[str]]:
    """Return, for each given node position, the earlier values that this or a later node reads."""
    found: dict[int, set[str]] = {}
    read: set[str] = set()
    for index, call in reversed(list(enumerate(simulator.calls))):
        read = read - set(call.outputs) | {n for n in call.inputs if n is not None and n not in simulator.constants}
        if index in starts:
            found[index] = read
    return found
