"""Move a Relu or Clip before a maximum or data movement, next to the operator that it is fused into.

    relu(maxpool(x)) = maxpool(relu(x)), since both are monotone

The nodes in between then work on a clamped range, which integers represent with smaller steps.
"""

from __future__ import annotations

import onnx_ir as ir

from intaglio.graph.access import constant, shape, single_consumer, where
from intaglio.graph.edit import insert, remove, rename, replace
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts, named

# They choose elements of their operand, so that they commute with a clamp.
_CHOOSE = (named("channels_first") & (named("largest") | named("moves"))) | named("reshapes")


def hoist_clamps(graph: Graph) -> list[str]:
    """Move every clamp in front of the monotone nodes before it."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None or not _is_clamp(node):
            continue
        first, passed = where(node), None
        while (above := _above(node)) is not None:
            passed = where(above)
            node = _exchange(inner, above, node)
        if passed is not None:
            changes.append(f"{first} moved in front of {passed}")
    return changes


def _is_clamp(node: ir.Node) -> bool:
    if node.domain or not facts(node.op_type).clamps:
        return False
    bounds = [constant(value) for value in node.inputs[1:] if value is not None]
    return all(bound is not None and bound.size == 1 for bound in bounds)


def _above(clamp: ir.Node) -> ir.Node | None:
    """Find the monotone node that a clamp can pass: the clamp alone reads it, and it alone reads its own input."""
    value = clamp.inputs[0]
    node = value.producer() if value is not None else None
    if node is None or value is None or node.op_type not in _CHOOSE or node.domain or len(node.outputs) != 1:
        return None
    source = node.inputs[0]
    if source is None or single_consumer(value) is not clamp or single_consumer(source) is not node:
        return None
    producer = source.producer()
    return node if producer is not None and not facts(producer.op_type).clamps else None


def _exchange(graph: ir.Graph, node: ir.Node, clamp: ir.Node) -> ir.Node:
    """Rewrite clamp(op(x)) -> op(clamp(x)); the last result keeps its name."""
    inputs = [node.inputs[0], *clamp.inputs[1:]]
    for index in range(1, len(clamp.inputs)):
        clamp.replace_input_with(index, None)
    name = str(clamp.name)
    moved = insert(graph, node, clamp.op_type, inputs, name=f"{name}.hoisted")
    node.replace_input_with(0, moved.outputs[0])
    assert shape(moved.outputs[0]) == shape(inputs[0])
    replace(clamp.outputs[0], node.outputs[0])
    remove(graph, clamp)
    rename(moved, name)
    return moved
