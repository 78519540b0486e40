"""A number that multiplies a whole tensor moves towards the end, where it is part of a scale.

    (c q) k^T = c (q k^T);   reshape(c x) = c reshape(x)

Attention scales both factors of its product; behind it, one Mul is left.
"""

from __future__ import annotations

import onnx_ir as ir

from intaglio.graph.access import constant, single_consumer, where
from intaglio.graph.edit import insert, remove
from intaglio.graph.graph import Graph

_MOVES = {"Reshape", "Transpose", "Slice", "DepthToSpace", "SpaceToDepth", "MatMul"}


def move_factors(graph: Graph) -> list[str]:
    """Move every Mul by one number behind the node that alone reads it, as far as it goes."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None or not _is_factor(node):
            continue
        first = where(node)
        moved = None
        while (following := single_consumer(node.outputs[0])) is not None and _lets_pass(following, node.outputs[0]):
            moved = where(following)
            node = _behind(inner, node, following)
        if moved is not None:
            changes.append(f"{first} moved behind {moved}")
    return changes


def _is_factor(node: ir.Node) -> bool:
    if node.op_type != "Mul" or node.domain or node.inputs[0] is None or node.inputs[0].is_initializer():
        return False
    array = constant(node.inputs[1])
    return array is not None and array.size == 1 and array.ndim <= 1


def _lets_pass(node: ir.Node, value: ir.Value) -> bool:
    if node.op_type not in _MOVES or node.domain:
        return False
    if node.op_type == "MatMul":  # one with a constant takes the factor into its weight
        return all(other is not None and not other.is_initializer() for other in node.inputs)
    return node.inputs[0] is value


def _behind(graph: ir.Graph, mul: ir.Node, node: ir.Node) -> ir.Node:
    """op(x * c) -> op(x) * c; the result keeps its name."""
    source, factor = mul.inputs
    for index, value in enumerate(node.inputs):
        if value is mul.outputs[0]:
            node.replace_input_with(index, source)
    mul.replace_input_with(1, None)
    result, name = node.outputs[0], str(mul.name)
    remove(graph, mul)
    # The new Mul stands right behind the node, in front of its first reader.
    moved = _insert_behind(graph, node, factor, name)
    for use in list(result.uses()):
        if use.node is not moved:
            use.node.replace_input_with(use.idx, moved.outputs[0])
    if result.is_graph_output():
        for index, output in enumerate(graph.outputs):
            if output is result:
                graph.outputs[index] = moved.outputs[0]
    own = str(moved.outputs[0].name)
    wanted = str(result.name)
    result.name = f"{wanted}.unscaled"
    moved.outputs[0].name = wanted
    result.name = own if own != wanted else result.name
    return moved


def _insert_behind(graph: ir.Graph, node: ir.Node, factor: ir.Value | None, name: str) -> ir.Node:
    anchor = ir.Node("", "Identity", [node.outputs[0]], name=f"{name}.anchor", num_outputs=1)
    graph.insert_after(node, anchor)
    moved = insert(graph, anchor, "Mul", [node.outputs[0], factor], name=name)
    graph.remove(anchor, safe=True)
    return moved
