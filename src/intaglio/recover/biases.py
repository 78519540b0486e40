"""Biases of layers: which layers have a place for one, and how it is moved."""

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
"""Axis of the output channels, for the operators that have a bias."""


def bias_layers(graph: Graph) -> list[ir.Node]:
    """Nodes with a weight and a place for a bias."""
    return [
        node
        for node in graph.nodes
        if node.op_type in CHANNEL_AXIS and float_operator(node).contract(node).roles[1] is Role.WEIGHT
    ]


def add_to_bias(graph: Graph, plan: Plan, node: ir.Node, shift: NDArray[Any]) -> None:
    """Move a layer's bias by (O,), in place; a layer that has none gets one. `derive` or `settle` has to follow."""
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


def settle(graph: Graph, plan: Plan, simulator: Simulator, nodes: Collection[ir.Node]) -> Simulator:
    """`derive`, and a simulator of what came of it, after weights or biases of some layers have changed.

    It costs what these layers cost, whatever the network's depth, where no other scales have to change.

    Args:
        graph, plan: changed in place; `derive` has seen them before.
        simulator: of what they were; it is left as it is.
        nodes: the layers.
    """
    return Simulator(graph, plan) if derive_layers(graph, plan, nodes) else simulator.with_constants_of(nodes)


def _shape(array: NDArray[Any], total: NDArray[Any]) -> tuple[int, ...]:
    """The bias keeps its shape, unless it was one number for all channels."""
    return array.shape if array.size == total.size else (*array.shape[:-1], total.size) if array.ndim else (total.size,)
