"""Move a number that multiplies an operand of a product of two computed values behind the product.

    (c q) k^T = c (q k^T)

Attention scales both operands; one Mul is left behind the product, where it becomes part of a scale. On its way the
number passes data movement: reshape(c x) = c reshape(x).
"""

from __future__ import annotations

import onnx_ir as ir

from intaglio.graph.access import constant, single_consumer, where
from intaglio.graph.edit import insert, remove, rename
from intaglio.graph.graph import Graph
from intaglio.graph.unique_names import new_value_name

_MOVES = {"Reshape", "Transpose", "Slice"}


def move_factors(graph: Graph) -> list[str]:
    """Move every Mul by one number behind the product that it leads to."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None or not _is_factor(node):
            continue
        way = _way_to_product(node)
        if way:
            changes.append(f"{where(node)} moved behind {where(way[-1])}")
            for passed in way:
                node = _behind(inner, node, passed)
    return changes


def _way_to_product(node: ir.Node) -> list[ir.Node]:
    """Find the chain of only readers up to a MatMul of computed values; empty if there is none."""
    way: list[ir.Node] = []
    value = node.outputs[0]
    while (following := single_consumer(value)) is not None and not following.domain:
        way.append(following)
        if following.op_type == "MatMul":
            return way if all(v is not None and not v.is_initializer() for v in following.inputs) else []
        if following.op_type not in _MOVES or following.inputs[0] is not value:
            return []
        value = following.outputs[0]
    return []


def _is_factor(node: ir.Node) -> bool:
    if node.op_type != "Mul" or node.domain or node.inputs[0] is None or node.inputs[0].is_initializer():
        return False
    array = constant(node.inputs[1])
    return array is not None and array.size == 1 and array.ndim <= 1


def _behind(graph: ir.Graph, mul: ir.Node, node: ir.Node) -> ir.Node:
    """Rewrite op(x * c) -> op(x) * c; the result keeps its name."""
    source, factor = mul.inputs
    for index, value in enumerate(node.inputs):
        if value is mul.outputs[0]:
            node.replace_input_with(index, source)
    mul.replace_input_with(1, None)
    result, name = node.outputs[0], str(mul.name)
    remove(graph, mul)
    # The new Mul is placed right after the node, before its first reader.
    moved = _insert_behind(graph, node, factor, name)
    for use in list(result.uses()):
        if use.node is not moved:
            use.node.replace_input_with(use.idx, moved.outputs[0])
    if result.is_graph_output():
        for index, output in enumerate(graph.outputs):
            if output is result:
                graph.outputs[index] = moved.outputs[0]
    wanted = str(result.name)
    rename(result, new_value_name(graph, f"{wanted}.unscaled"))  # the Mul's own name may be that of x * c
    rename(moved.outputs[0], wanted)
    return moved


def _insert_behind(graph: ir.Graph, node: ir.Node, factor: ir.Value | None, name: str) -> ir.Node:
    anchor = ir.Node("", "Identity", [node.outputs[0]], name=f"{name}.anchor", num_outputs=1)
    graph.insert_after(node, anchor)
    moved = insert(graph, anchor, "Mul", [node.outputs[0], factor], name=name)
    graph.remove(anchor, safe=True)
    return moved
