"""Bring dense layers to one form: Gemm for matrices, with alpha = beta = 1, transA = 0 and a bias of shape (N,).

A MatMul of a rank-2 value with a constant is such a Gemm. A MatMul of higher rank stays, with its bias as an Add.
A Gemm that multiplies two computed values is a MatMul, since it has no weight.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape, where
from intaglio.graph.edit import add_constant, insert, remove, replace, set_attribute, set_constant
from intaglio.graph.graph import Graph


def make_gemm(graph: Graph) -> list[str]:
    """Bring every dense layer to its one form."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.domain:
            continue
        before = where(node)
        if node.op_type == "MatMul" and _is_dense(node):
            node.op_type = "Gemm"
            changes.append(f"{before} written as Gemm")
        elif node.op_type == "Gemm":
            change = _simplify(inner, node)
            if change:
                changes.append(f"{before} {change}")
    return changes


def _is_dense(node: ir.Node) -> bool:
    left, right = node.inputs[0], node.inputs[1]
    if left is None or right is None or left.is_initializer() or not right.is_initializer():
        return False
    return rank(left) == 2 and rank(right) == 2


def _simplify(graph: ir.Graph, node: ir.Node) -> str | None:
    left, right = node.inputs[0], node.inputs[1]
    assert left is not None
    assert right is not None
    if not right.is_initializer():
        return _without_weight(graph, node)
    if attribute(node, "transA", 0):
        turned = insert(graph, node, "Transpose", [left], {"perm": [1, 0]}, name=f"{node.name}.transpose")
        node.replace_input_with(0, turned.outputs[0])
        set_attribute(node, "transA", 0)
        return "without transA"
    alpha = float(attribute(node, "alpha", 1.0))
    if alpha != 1.0:
        set_constant(right, _scaled(right, alpha))
        node.attributes.pop("alpha")
        return "without alpha"
    return _simplify_bias(graph, node)


def _scaled(value: ir.Value, factor: float) -> Array:
    array = constant(value)
    assert array is not None
    return (array.astype(np.float64) * factor).astype(np.float32)


def _simplify_bias(graph: ir.Graph, node: ir.Node) -> str | None:
    bias = input_value(node, 2)
    beta = float(attribute(node, "beta", 1.0))
    if bias is None:
        return None
    columns = shape(node.outputs[0])[1]
    array = constant(bias)
    if array is None or (array.ndim == 2 and array.shape[0] != 1):
        _bias_behind(graph, node, bias, beta)
        return "with its computed addend as an Add"
    if beta != 1.0:
        set_constant(bias, _scaled(bias, beta))
        node.attributes.pop("beta")
        return "without beta"
    if array.shape != (columns,):
        set_constant(bias, np.broadcast_to(array.reshape(-1), (columns,)))
        return "with a bias per column"
    return None


def _bias_behind(graph: ir.Graph, node: ir.Node, bias: ir.Value, beta: float) -> None:
    """Split off the addend of a Gemm as an Add, which takes over the result's name."""
    product = insert(
        graph,
        node,
        "Gemm",
        [node.inputs[0], node.inputs[1]],
        {"transB": int(attribute(node, "transB", 0))},
        name=f"{node.name}.product",
    )
    if beta != 1.0:
        factor = add_constant(graph, f"{node.name}.beta", np.array(beta, dtype=np.float32))
        bias = insert(graph, node, "Mul", [bias, factor], name=f"{node.name}.scaled").outputs[0]
    node.op_type = "Add"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, product.outputs[0])
    node.replace_input_with(1, bias)


def _without_weight(graph: ir.Graph, node: ir.Node) -> str:
    """Rewrite alpha * A' B' + beta * C of two computed values -> MatMul, Mul, Add."""
    sides = []
    for index, flag in ((0, "transA"), (1, "transB")):
        side = node.inputs[index]
        if attribute(node, flag, 0):
            turned = insert(graph, node, "Transpose", [side], {"perm": [1, 0]}, name=f"{node.name}.{flag.lower()}")
            side = turned.outputs[0]
        sides.append(side)
    result = insert(graph, node, "MatMul", sides, name=f"{node.name}.matmul").outputs[0]
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    if alpha != 1.0:
        factor = add_constant(graph, f"{node.name}.alpha", np.array(alpha, dtype=np.float32))
        result = insert(graph, node, "Mul", [result, factor], name=f"{node.name}.scaled").outputs[0]
    addend = input_value(node, 2)
    if addend is not None:
        if beta != 1.0:
            factor = add_constant(graph, f"{node.name}.beta", np.array(beta, dtype=np.float32))
            addend = insert(graph, node, "Mul", [addend, factor], name=f"{node.name}.addend").outputs[0]
        result = insert(graph, node, "Add", [result, addend], name=f"{node.name}.sum").outputs[0]
    replace(node.outputs[0], result)
    remove(graph, node)
    return "multiplies two computed values: written as MatMul"
