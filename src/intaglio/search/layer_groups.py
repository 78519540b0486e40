"""Group nodes into layers: an operator that rounds, with the clamps that are fused into it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from intaglio.graph import Graph
from intaglio.graph.operators import facts
from intaglio.ops import Joined, Plain, Same, float_operator
from intaglio.plan import Plan, Source

INPUT = "Input"
"""`op_type` of an input of the network, whose rounding is a layer of its own."""


@dataclass(frozen=True)
class LayerGroup:
    """Group of nodes that is quantized or left real as one.

    Args:
        name: name of the node; for a network input, of the value.
        op_type: operator type of the node; `INPUT` for an input.
        nodes: positions in `graph.nodes` of the node and its clamps; empty for an input.
        value: name of the input; empty for a node.
    """

    name: str
    op_type: str
    nodes: frozenset[int] = frozenset()
    value: str = ""

    @property
    def first(self) -> int:
        """Position of the first node."""
        return min(self.nodes, default=0)


def layers_of(graph: Graph, plan: Plan) -> list[LayerGroup]:
    """Return the layers of a network in its order, inputs first.

    Operators that only move data do not round, so they are not layers.
    """
    nodes = graph.nodes
    position = {str(node.name): i for i, node in enumerate(nodes)}
    inputs = [str(value.name) for value in graph.inputs]
    layers = [LayerGroup(f"{n} (input)" if n in position else n, INPUT, value=n) for n in inputs]
    taken: set[int] = set()
    for i, node in enumerate(nodes):
        output = float_operator(node).contract(node).output
        if i in taken or isinstance(output, Plain) or (isinstance(output, Same) and not output.rounds):
            continue
        members = [i, *(position[name] for name in plan.operators[str(node.name)].fused)]
        caps = _caps_behind(nodes[members[-1]], plan)
        if caps is not None:
            members.append(position[caps])
        taken.update(members)
        layers.append(LayerGroup(str(node.name), node.op_type, frozenset(members)))
    return layers


def _caps_behind(node: ir.Node, plan: Plan) -> str | None:
    """Find the clamp with per-channel bounds after a node that shares its quantization parameters; None if none."""
    value = plan.values.get(str(node.outputs[0].name))
    users = [use.node for use in node.outputs[0].uses()]
    if value is None or value.source is not Source.SHARED or len(users) != 1 or not facts(users[0].op_type).extremum:
        return None
    joined = isinstance(float_operator(users[0]).contract(users[0]).output, Joined)
    return str(users[0].name) if joined else None
