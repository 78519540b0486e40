"""Bias correction: what the rounding of weights adds to a layer's mean output is taken out of its bias.

    b'[o] = b[o] + mean over positions of ( conv(m, W) - conv(m, Q(W)) )[o],      m = E[x], the mean input image

Convolution is linear, so the mean image is all that has to be known of the data; it is exact at the borders too, where
padding makes per-channel means wrong. The float network runs once over a few samples.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2 (empirical means, layers independent of each other).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.calibrate.derive import derive
from intaglio.graph import Graph
from intaglio.graph.access import attribute, constant
from intaglio.graph.edit import add_constant, set_constant
from intaglio.ops import Role, float_operator
from intaglio.plan import Plan, Source, ValuePlan
from intaglio.recover.trial import Samples, Trial
from intaglio.simulate import Simulator

CHANNEL_AXIS = {"Conv": 1, "ConvTranspose": 1, "Gemm": -1}
"""Axis of the output channels, for the operators that have a bias."""


@dataclass(frozen=True)
class Recovery:
    """What an algorithm made of a network.

    Args:
        graph, plan: the better ones of before and after.
        history: one sentence on what it gained.
        gain: dB of output SQNR that it gained on held-back samples; negative where it was reverted.
    """

    graph: Graph
    plan: Plan
    history: list[str] = field(default_factory=list)
    gain: float = 0.0


def correct_biases(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, *, reference: Graph | None = None
) -> Recovery:
    """Correct the bias of every layer whose weights are rounded.

    Args:
        graph: in normal form; it is left as it is.
        plan: calibrated; it is left as it is.
        samples: inputs for the means; some tens are enough.
        held_back: other inputs, on which the outputs are compared with float before and after.
        reference: the float network with its real weights, where those of `graph` are rounded already (by AdaRound).
    Returns:
        The corrected network, or the given one where the correction made the outputs worse.
    """
    reference = graph if reference is None else reference
    trial = Trial(reference, held_back)
    before = trial.sqnr(graph, plan)
    corrected, new_plan, layers = _corrected(graph, plan, reference, _mean_inputs(reference, samples))
    after = trial.sqnr(corrected, new_plan)
    words = f"bias correction of {layers} layers: output SQNR {before:.2f} -> {after:.2f} dB"
    words += f" on {trial.samples} held-back samples"
    if not after > before:
        return Recovery(graph, plan, [f"{words}; reverted"], after - before)
    return Recovery(corrected, new_plan, [f"{words}; kept"], after - before)


def _layers(graph: Graph) -> list[ir.Node]:
    """Nodes with a weight and a place for a bias."""
    return [
        node
        for node in graph.nodes
        if node.op_type in CHANNEL_AXIS and float_operator(node).contract(node).roles[1] is Role.WEIGHT
    ]


def _mean_inputs(graph: Graph, samples: Samples) -> dict[str, Tensor]:
    """The mean over samples of every value that a layer reads, (1, ...) float64."""
    wanted = {str(node.inputs[0].name) for node in _layers(graph) if node.inputs[0] is not None}
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def observe(name: str, x: Tensor) -> None:
        if name in wanted:
            total = x.sum(0, keepdim=True, dtype=torch.float64) if simulator.batched else x.double()
            sums[name] = sums[name] + total if name in sums else total
            counts[name] = counts.get(name, 0) + (len(x) if simulator.batched else 1)

    simulator = Simulator(graph)
    with torch.no_grad():
        for feed in samples.feeds(simulator):
            simulator(feed, observe)
    return {name: total / counts[name] for name, total in sums.items()}


def _corrected(graph: Graph, plan: Plan, reference: Graph, means: dict[str, Tensor]) -> tuple[Graph, Plan, int]:
    graph, plan = graph.copy(), plan.copy()
    real, rounded = Simulator(reference).constants, Simulator(graph, plan).constants
    layers = _layers(graph)
    for node in layers:
        data, weight = str(node.inputs[0].name), str(node.inputs[1].name)  # type: ignore[union-attr]
        difference = _output(node, means[data], real[weight]) - _output(node, means[data], rounded[weight])
        axis = CHANNEL_AXIS[node.op_type] % difference.ndim
        shift = difference.mean(dim=[i for i in range(difference.ndim) if i != axis]).cpu().numpy()
        add_to_bias(graph, plan, node, shift / attribute(node, "beta", 1.0))
    derive(graph, plan)
    return graph, plan, len(layers)


def _output(node: ir.Node, x: Tensor, weight: Tensor) -> Tensor:
    """The layer without its bias, in float64."""
    with torch.no_grad():
        y = float_operator(node).real(node, x, weight.double())
    assert isinstance(y, Tensor)
    return y


def add_to_bias(graph: Graph, plan: Plan, node: ir.Node, shift: NDArray[Any]) -> None:
    """Move a layer's bias by (O,), in place; a layer that has none gets one. `derive` has to follow."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant(bias)
    if bias is not None and array is not None:
        total = np.broadcast_to(array.reshape(-1), shift.shape) + shift
        set_constant(bias, total.astype(np.float32).reshape(_shape(array, total)))
        return
    data, weight = node.inputs[0], node.inputs[1]
    assert data is not None and weight is not None
    bias = add_constant(graph.model.graph, f"{weight.name}_bias", shift.astype(np.float32))
    node.resize_inputs(3)
    node.replace_input_with(2, bias)
    name, why = (
        str(bias.name),
        f"bias of {node.name}, which had none: what the rounding of its weights adds is taken out",
    )
    plan.values[name] = ValuePlan(name, Role.BIAS, Source.DERIVED, why, of=(str(data.name), str(weight.name)))


def _shape(array: NDArray[Any], total: NDArray[Any]) -> tuple[int, ...]:
    """The bias keeps its shape, unless it was one number for all channels."""
    return array.shape if array.size == total.size else (*array.shape[:-1], total.size) if array.ndim else (total.size,)
