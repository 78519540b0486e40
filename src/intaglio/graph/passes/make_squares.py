"""Write sums of squares and their roots as ReduceSumSquare and ReduceL2, which need no table of squares."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, shape, where
from intaglio.graph.edit import add_constant, insert, remove_unread_before, rename, replace
from intaglio.graph.graph import Graph
from intaglio.graph.passes.normalization_patterns import PRODUCT_OF_NORMS, ROOT_OF_SQUARES, SUM_OF_SQUARES
from intaglio.graph.pattern import Match, find


def make_squares(graph: Graph) -> list[str]:
    """Replace them; the 1/n of a mean becomes a factor behind the sum or its root."""
    changes: list[str] = []
    inner = graph.model.graph
    for node in graph.nodes:
        for patterns, op_type in ((ROOT_OF_SQUARES, "ReduceL2"), (SUM_OF_SQUARES, "ReduceSumSquare")):
            match = next((m for m in (find(p, node) for p in patterns if _may_match(p.op_types, node)) if m), None)
            if match is None or node.graph is None:
                continue
            made = _written(inner, node, match, op_type)
            if made is None:
                continue
            changes.append(f"{where(node)} and the {len(match.nodes) - 1} before it are one {op_type}")
            name = str(node.name)
            replace(node.outputs[0], made.outputs[0])
            remove_unread_before(inner, node)
            rename(made, name)
            break
        changes += _product_of_norms(inner, node)
    return changes


def _product_of_norms(graph: ir.Graph, node: ir.Node) -> list[str]:
    """Rewrite sqrt(sum x^2 * sum y^2) -> |x| |y|, whose range is the root of that of the squares."""
    match = find(PRODUCT_OF_NORMS, node) if node.graph is not None and node.op_type == "Sqrt" else None
    if match is None:
        return []
    change = f"{where(node)} of two sums of squares written as a product of two norms"
    product = node.inputs[0]
    assert product is not None
    multiply = product.producer()
    assert multiply is not None
    for name in ("first", "second"):
        total = match.named[name]
        keepdims = {"keepdims": int(attribute(total, "keepdims", 1))}
        norm = insert(graph, total, "ReduceL2", list(total.inputs), keepdims, name=f"{total.name}.norm")
        for index, value in enumerate(multiply.inputs):
            if value is total.outputs[0]:
                multiply.replace_input_with(index, norm.outputs[0])
        remove_unread_before(graph, total)
    replace(node.outputs[0], product)
    remove_unread_before(graph, node)
    return [change]


def _may_match(op_types: tuple[str, ...], node: ir.Node) -> bool:
    return node.op_type in op_types and node.graph is not None


def _written(graph: ir.Graph, node: ir.Node, match: Match, op_type: str) -> ir.Node | None:
    source, total = match.value("x"), match.named["sum"]
    axes = constant(input_value(total, 1))
    factor: Array = match.array("factor") if "factor" in match.values else np.array(1.0)
    if shape(node.outputs[0]) != shape(total.outputs[0]):
        return None
    if axes is None or not axes.size or factor.size != 1 or float(factor.ravel()[0]) <= 0.0:
        return None
    number = float(factor.ravel()[0])
    if total.op_type == "ReduceMean":
        number /= math.prod(shape(source)[int(axis)] for axis in axes)
    indices = add_constant(graph, f"{node.name}.axes", np.array(axes, dtype=np.int64))
    keepdims = {"keepdims": int(attribute(total, "keepdims", 1))}
    made = insert(graph, node, op_type, [source, indices], keepdims, name=f"{node.name}.{op_type.lower()}")
    if number == 1.0:
        return made
    number = math.sqrt(number) if op_type == "ReduceL2" else number
    share = add_constant(graph, f"{node.name}.factor", np.array(number, dtype=np.float32))
    return insert(graph, node, "Mul", [made.outputs[0], share], name=f"{node.name}.mul")
