"""Activation equalization (SmoothQuant): scale down activation channels with outliers, scale up the next weights.

    x'[j] = x[j] / s[j],   W'[j] = W[j] * s[j],   s[j] = max|x[j]|**alpha / max|W[j]|**(1 - alpha)

The network's function does not change. The division is folded into the node that computes x: gain and bias of a layer
normalization, or weights and bias of a product, through homogeneous activations (see `recover.channels`). If that is
impossible, x is not scaled. s is divided by its geometric mean to keep the size of the tensor.

Each alpha gives a candidate, which is placed, calibrated and measured like those of cross-layer equalization.

Source: Xiao et al. 2023, arXiv:2211.10438, eq. (4), applied to convolutions as well as linear layers.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.graph.access import Array, constant, consumers, rank, shape
from intaglio.graph.edit import set_constant
from intaglio.graph.unique_names import names_kept, new_value_name
from intaglio.graph.weights import WeightedProduct, product
from intaglio.recover.channels import channel_groups, magnitudes
from intaglio.recover.equalization import scale_group
from intaglio.simulate import Simulator

ALGORITHM = "activation equalization"
ALPHAS = (0.25, 0.5, 0.75)
LARGEST_FACTOR = 2.0**10
"""Largest scale factor; channels that would need more are dead, or nearly."""


def smoothed(graph: Graph, samples: Samples, alpha: float, *, carry_caps: bool = True) -> tuple[Graph, int, int] | None:
    """Equalize the activations of a network with one alpha.

    Args:
        graph: the prepared network; not modified.
        samples: inputs for the ranges of activations.
        alpha: exponent: fraction of the activations' spread that moves into the weights.
        carry_caps: also scale channels after a Clip with a finite upper bound, which becomes one bound per channel.
    Returns:
        (network, number of scaled activations, number of bounds now per channel); None if nothing can be scaled.
    """
    made = graph.copy()
    groups = [g for g in channel_groups(made) if carry_caps or not g.caps]
    norms = [found for node in made.nodes if (found := _normalized(node)) is not None]
    read: dict[str, tuple[int, int]] = {}
    for group in groups:
        read.update({str(p.node.inputs[0].name): group.values[p.node.inputs[0]] for p, _ in group.readers})  # type: ignore[union-attr,index]
    for value, readers in norms:
        read[str(value.name)] = readers[0].input_axis, 1
    reached = _reach(made, read, samples)
    scaled = caps = 0
    with names_kept(made.model.graph):
        for group in groups:
            reads = [(p, repeat, str(p.node.inputs[0].name)) for p, repeat in group.readers]  # type: ignore[union-attr]
            weights = [magnitudes(p).max(axis=1).reshape(-1, repeat).max(axis=1) for p, repeat, _ in reads]
            factors = _factors(np.max([reached[name] for *_, name in reads], axis=0), np.max(weights, axis=0), alpha)
            if factors is not None:
                caps += scale_group(made, group, factors)
                scaled += 1
    for value, readers in norms:
        weights = [magnitudes(p).max(axis=1).reshape(-1) for p in readers]
        factors = _factors(reached[str(value.name)], np.max(weights, axis=0), alpha)
        if factors is not None:
            _scale_normalized(made, value, readers, factors)
            scaled += 1
    if not scaled:
        return None
    made.model.graph.sort()
    made.verify()
    return made, scaled, caps


def _factors(activation: Array, weight: Array, alpha: float) -> Array | None:
    """Return s of each channel, 1 for dead ones; None if all are equal."""
    alive = (activation > 0) & (weight > 0) & np.isfinite(activation) & np.isfinite(weight)
    if not alive.any():
        return None
    log = alpha * np.log(np.where(alive, activation, 1.0)) - (1 - alpha) * np.log(np.where(alive, weight, 1.0))
    log -= log[alive].mean()
    limit = np.log(LARGEST_FACTOR)
    factors = np.where(alive, np.exp(np.clip(log, -limit, limit)), 1.0)
    return factors if np.abs(np.log(factors)).max() > 1e-3 else None


def _normalized(node: ir.Node) -> tuple[ir.Value, list[WeightedProduct]] | None:
    """Return a layer normalization's result and its readers, if all are products along the normalized axis."""
    if node.op_type != "LayerNormalization" or node.domain:
        return None
    value, last = node.outputs[0], rank(node.inputs[0]) - 1
    sizes = [constant(v) for v in node.inputs[1:] if v is not None]
    if value.is_graph_output() or any(a is None or a.shape != shape(value)[last:] for a in sizes):
        return None
    readers = [product(user) for user in consumers(value)]
    found = [p for p in readers if p is not None and p.input_axis == last and p.node.inputs[0] is value]
    return (value, found) if found and len(found) == len(readers) else None


def _scale_normalized(graph: Graph, value: ir.Value, readers: list[WeightedProduct], factors: Array) -> None:
    node = value.producer()
    assert node is not None
    for parameter in node.inputs[1:]:
        array = constant(parameter)
        if parameter is not None and array is not None:
            set_constant(parameter, (array.astype(np.float64) / factors).astype(np.float32))
    for found in readers:
        found.scale_inputs(factors)
    value.name = new_value_name(graph.model.graph, f"{value.name}.equalized")


def _reach(graph: Graph, wanted: dict[str, tuple[int, int]], samples: Samples) -> dict[str, Array]:
    """Return the largest |x| by channel, (C,); `wanted`: channel axis and consecutive elements per channel by value."""
    found: dict[str, Tensor] = {}

    def observe(name: str, x: Tensor) -> None:
        if name in wanted:
            axis, repeat = wanted[name]
            reach = x.abs().amax([k for k in range(x.ndim) if k != axis % x.ndim]).reshape(-1, repeat).amax(1)
            found[name] = torch.maximum(found[name], reach) if name in found else reach

    simulator = Simulator(graph)
    with torch.no_grad():
        for feed in samples.feeds(simulator):
            simulator(feed, observe)
    return {name: x.double().cpu().numpy() for name, x in found.items()}
