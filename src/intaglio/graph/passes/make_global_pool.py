"""Rewrite reductions and pools over the whole image as GlobalAveragePool and GlobalMaxPool."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, shape, where
from intaglio.graph.edit import add_constant, drop_inputs, insert
from intaglio.graph.graph import Graph


def make_global_pool(graph: Graph) -> list[str]:
    """Rewrite each node that takes one number per channel out of an image of rank 4 or more."""
    changes = []
    for node in graph.nodes:
        rule = _RULES.get(node.op_type)
        if node.domain or rule is None:
            continue
        before = where(node)
        result = rule(graph.model.graph, node)
        if result is not None:
            changes.append(f"{before} written as {result}")
    return changes


def _reduce(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite ReduceMean, ReduceMax over all spatial axes of an image -> GlobalAveragePool, GlobalMaxPool."""
    axes = constant(input_value(node, 1))
    sizes = shape(node.inputs[0])
    if axes is None or len(sizes) < 4 or sorted(int(axis) for axis in axes) != list(range(2, len(sizes))):
        return None
    pool = "GlobalAveragePool" if node.op_type == "ReduceMean" else "GlobalMaxPool"
    return _global_pool(graph, node, pool)


def _global_pool(graph: ir.Graph, node: ir.Node, pool: str) -> str:
    """Replace the node by a global pool; a Reshape removes the spatial axes where the node did."""
    result = node.outputs[0]
    sizes = shape(node.inputs[0])
    if shape(result) == (*sizes[:2], *[1] * (len(sizes) - 2)):
        drop_inputs(graph, node, 1)
        node.op_type = pool
        node.attributes.clear()
        return pool
    pooled = insert(graph, node, pool, [node.inputs[0]], name=f"{node.name}.pool")
    target = [0 if shape(result)[:1] == sizes[:1] else shape(result)[0], *shape(result)[1:]]
    drop_inputs(graph, node, 1)
    node.op_type = "Reshape"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, pooled.outputs[0])
    node.replace_input_with(1, add_constant(graph, f"{node.name}.shape", np.array(target, dtype=np.int64)))
    return f"{pool} and Reshape"


def _pool(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite a pool whose only window is the whole image -> GlobalAveragePool, GlobalMaxPool."""
    sizes = shape(node.inputs[0])
    whole = tuple(attribute(node, "kernel_shape")) == sizes[2:] and shape(node.outputs[0])[2:] == (1,) * (
        len(sizes) - 2
    )
    if not whole or any(attribute(node, "pads")) or set(attribute(node, "dilations")) - {1} or len(node.outputs) > 1:
        return None
    node.attributes.clear()
    node.op_type = "Global" + node.op_type
    return node.op_type


_RULES: dict[str, Callable[[ir.Graph, ir.Node], str | None]] = {
    "AveragePool": _pool,
    "MaxPool": _pool,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
}
