"""Insert new batch norms into a network whose own were folded, for training.

    y = conv(x, W) + b        becomes        gamma (conv(x, W) + b - m) / sqrt(v + eps) + beta
    beta = m,  gamma = sqrt(v + eps),  m and v the mean and variance of y by channel over some samples

This does not change the network's function. When rounding to few bits shifts mean and variance, batch norm restores
what the next layer expects. It is folded again when the network is frozen, so the integer program has no extra work.

Source: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1 (equation of batch norm).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph import Graph
from intaglio.graph.access import consumers, is_output
from intaglio.graph.edit import add_constant, insert
from intaglio.graph.unique_names import new_value_name
from intaglio.graph.weights import product
from intaglio.plan import Step
from intaglio.simulate import Simulator
from intaglio.simulate.tensor_batches import Batches, feeds
from intaglio.train.batch_norm import PRODUCTS_WITH_NORM
from intaglio.train.module import QuantizedModule

BATCH_NORM = ("auto", "revive", "as-is")
"""When to insert: below 8 bits if no batch norm is trainable; always; never."""
EPSILON = 1e-5
_AT_A_TIME = 64

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def insert_batch_norm(graph: Graph, dataset: Batches, *, device: torch.device | str | None = None) -> Graph:
    """Insert a batch norm after each convolution and dense layer, except those that compute outputs.

    Args:
        graph: the prepared network, batched, without batch norms.
        dataset: inputs for means and variances.
        device: default: the GPU if there is one.
    Returns:
        A Graph for `prepare_qat` that computes the same up to float32 rounding; the given Graph if there is no layer
        for a batch norm.
    Raises:
        DataError: the data do not fit the network.
    """
    values = [node.outputs[0] for node in graph.nodes if _takes_norm(node)]
    if not graph.batched or not values:
        return graph
    moments = _moments(graph, dataset, [str(v.name) for v in values], device)
    made = graph.copy()
    for node in list(made.nodes):
        name = str(node.outputs[0].name)
        if name in moments:
            _stand_behind(made, node, *moments[name])
    return made


def begin(
    prepare: Callable[[Graph], QuantizedModule], raw: Graph, dataset: Batches, asked: str = "auto"
) -> tuple[QuantizedModule, list[Step]]:
    """Prepare a network for training, with new batch norms if asked for; return it with its history steps.

    Args:
        prepare: `prepare_qat` with all arguments except the network.
        raw: the network before any pass.
        dataset: inputs for `insert_batch_norm`.
        asked: a name of `BATCH_NORM`.
    """
    module = prepare(raw)
    if asked != "revive" and (asked != "auto" or not misses_batch_norm(module)):
        return module, []
    module = prepare(insert_batch_norm(module.graph, dataset))
    return module, [Step("batch norm", f"{len(module.norms)} new batch norms inserted for training")]


def misses_batch_norm(module: QuantizedModule) -> bool:
    """Return whether a convolutional network trains below 8 bits without a trainable batch norm."""
    convolves = any(node.op_type == "Conv" and _takes_norm(node) for node in module.graph.nodes)
    return convolves and module.graph.batched and not module.norms and module.narrowest < 8


def _takes_norm(node: ir.Node) -> bool:
    """Return whether a node is a product whose result is not (nearly) an output."""
    return node.op_type in PRODUCTS_WITH_NORM and product(node) is not None and not _ends(node.outputs[0])


def _ends(value: ir.Value) -> bool:
    """Return whether a value is an output, up to softmax, sigmoid and changes of shape."""
    kinds = ("Softmax", "LogSoftmax", "Sigmoid", "Reshape", "Transpose")
    return is_output(value) or any(node.op_type in kinds and _ends(node.outputs[0]) for node in consumers(value))


def _moments(graph: Graph, dataset: Batches, names: list[str], device: torch.device | str | None) -> dict[str, Moments]:
    """Measure mean and variance of values by channel (axis 1)."""
    simulator = Simulator(graph, None, device)
    counts = dict.fromkeys(names, 0)
    sums: dict[str, Tensor] = {}

    def observe(name: str, x: Tensor) -> None:
        if name in counts:
            flat = x.movedim(1, 0).flatten(1).double()
            counts[name] += flat.shape[1]
            sums[name] = sums.get(name, 0.0) + torch.stack([flat.sum(1), flat.square().sum(1)])

    with torch.no_grad():
        for _, feed in feeds(dataset, simulator, _AT_A_TIME, "batch norm"):
            simulator(feed, observe)
    return dict(_means(sums, counts))


def _means(sums: dict[str, Tensor], counts: dict[str, int]) -> Iterator[tuple[str, Moments]]:
    for name, total in sums.items():
        mean, square = (total / counts[name]).cpu().numpy()
        yield name, (mean, np.maximum(square - mean**2, 0.0))


def _stand_behind(graph: Graph, node: ir.Node, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
    """Insert a batch norm after a node; its result takes the node's output name, because it is the same tensor."""
    inner, y = graph.model.graph, node.outputs[0]
    name, users = str(y.name), consumers(y)
    # The variance of a constant channel is arbitrary: use 1.
    variance = np.where(variance > 0, variance, 1.0)
    parts = {"weight": np.sqrt(variance + EPSILON), "bias": mean, "running_mean": mean, "running_var": variance}
    constants = [add_constant(inner, f"{name}.norm.{key}", part.astype(np.float32)) for key, part in parts.items()]
    norm = insert(
        inner,
        _after(graph, node),
        "BatchNormalization",
        [y, *constants],
        {"epsilon": EPSILON},
        name=f"{node.name}.norm",
    )
    for user in users:
        for index, value in enumerate(user.inputs):
            if value is y:
                user.replace_input_with(index, norm.outputs[0])
    y.name = new_value_name(inner, f"{name}__product")
    norm.outputs[0].name = name


def _after(graph: Graph, node: ir.Node) -> ir.Node:
    nodes = graph.nodes
    return nodes[nodes.index(node) + 1]
