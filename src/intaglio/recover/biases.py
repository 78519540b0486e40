"""Find layers that can have a bias, and add to their biases."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.calibrate.parameters.derive import derive_layers
from intaglio.graph import Graph
from intaglio.graph.access import constant
from intaglio.graph.edit import add_constant, set_constant
from intaglio.ops import Role, float_operator
from intaglio.plan import Plan, Source, ValuePlan
from intaglio.simulate import Simulator

CHANNEL_AXIS = {"Conv": 1, "ConvTranspose": 1, "Gemm": -1}
"""Axis of the output channels, for operators with a bias input."""


def bias_layers(graph: Graph) -> list[ir.Node]:
    """Return the nodes that have a weight and can have a bias."""
    return [
        node
        for node in graph.nodes
        if node.op_type in CHANNEL_AXIS and float_operator(node).contract(node).roles[1] is Role.WEIGHT
    ]


def add_to_bias(graph: Graph, plan: Plan, node: ir.Node, shift: NDArray[Any]) -> None:
    """Add (O,) to a layer's bias in place; creates a missing bias. Call `derive` or `settle` afterwards."""
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
        f"bias of {node.name}, which had none: corrects the shift of the mean that weight rounding causes",
    )
    plan.values[name] = ValuePlan(name, Role.BIAS, Source.DERIVED, why, of=(str(data.name), str(weight.name)))


def settle(graph: Graph, plan: Plan, simulator: Simulator, nodes: Collection[ir.Node]) -> Simulator:
    """Derive bias parameters again and return a new simulator, after weights or biases of some layers have changed.

    If no other scales change, the cost is that of these layers, independent of the network's depth.

    Args:
        graph, plan: the changed network, derived before; the Plan is updated in place.
        simulator: simulator of the network before the change; not modified.
        nodes: the changed layers.
    """
    return Simulator(graph, plan) if derive_layers(graph, plan, nodes) else simulator.with_constants_of(nodes)


def _shape(array: NDArray[Any], total: NDArray[Any]) -> tuple[int, ...]:
    """Return the shape of the new bias: the old shape, unless it was one number for all channels."""
    return array.shape if array.size == total.size else (*array.shape[:-1], total.size) if array.ndim else (total.size,)
