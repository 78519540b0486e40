"""Remove nodes that compute nothing; a row of `NO_OPS` says when a node does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, shape, where
from intaglio.graph.edit import bypass, can_bypass
from intaglio.graph.graph import Graph
from intaglio.graph.passes.canonicalize import AFFINE
from intaglio.graph.pattern import equals, keeps_shape


def remove_no_ops(graph: Graph) -> list[str]:
    """Take out every node whose result equals its first input."""
    changes = []
    for node in graph.nodes:
        test = NO_OPS.get(node.op_type)
        if node.domain or test is None or node.inputs[0] is None or not can_bypass(node):
            continue
        if node.op_type in AFFINE and node.inputs[0].is_initializer():
            continue  # `canonicalize` puts the constant second
        if test(node):
            bypass(graph.model.graph, node)
            changes.append(f"{where(node)} computes nothing: taken out")
    return changes


def _same_shape(node: ir.Node) -> bool:
    return node.inputs[0] is not None and keeps_shape(node, node.inputs[0])


def _second_is(value: float) -> Callable[[ir.Node], bool]:
    def test(node: ir.Node) -> bool:
        return _same_shape(node) and equals(constant(input_value(node, 1)), value, 0.0)

    return test


def _no_pads(node: ir.Node) -> bool:
    pads = constant(input_value(node, 1))
    return pads is not None and not pads.any()


def _transpose(node: ir.Node) -> bool:
    perm = attribute(node, "perm")
    return tuple(perm) == tuple(range(len(perm)))


def _cast(node: ir.Node) -> bool:
    return node.inputs[0] is not None and node.inputs[0].dtype == node.outputs[0].dtype


def _clip(node: ir.Node) -> bool:
    low, high = constant(input_value(node, 1)), constant(input_value(node, 2))
    open_below = input_value(node, 1) is None or (low is not None and bool(np.all(low == -np.inf)))
    open_above = input_value(node, 2) is None or (high is not None and bool(np.all(high == np.inf)))
    return open_below and open_above


def _slice(node: ir.Node) -> bool:
    steps = constant(input_value(node, 4))
    return _same_shape(node) and (steps is None or bool(np.all(steps > 0)))


def _resize(node: ir.Node) -> bool:
    return _same_shape(node) and attribute(node, "coordinate_transformation_mode") != "tf_crop_and_resize"


def _pool(node: ir.Node) -> bool:
    ones = all(size == 1 for size in (*attribute(node, "kernel_shape"), *attribute(node, "strides")))
    return ones and not any(attribute(node, "pads")) and len(node.outputs) == 1


def _global_pool(node: ir.Node) -> bool:
    return all(size == 1 for size in shape(node.inputs[0])[2:])


def _reduce(node: ir.Node) -> bool:
    axes = constant(input_value(node, 1))
    sizes = shape(node.inputs[0])
    return _same_shape(node) and axes is not None and all(sizes[int(axis)] == 1 for axis in axes)


NO_OPS: dict[str, Callable[[ir.Node], bool]] = {
    "Add": _second_is(0.0),
    "AveragePool": _pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda node: len(node.inputs) == 1,
    "Expand": _same_shape,
    "Flatten": _same_shape,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "Identity": lambda node: True,
    "Max": lambda node: len(node.inputs) == 1,
    "MaxPool": _pool,
    "Min": lambda node: len(node.inputs) == 1,
    "Mul": _second_is(1.0),
    "Pad": _no_pads,
    "Pow": _second_is(1.0),
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _same_shape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": lambda node: len(node.outputs) == 1,
    "Squeeze": _same_shape,
    "Sum": lambda node: len(node.inputs) == 1,
    "Tile": _same_shape,
    "Transpose": _transpose,
    "Unsqueeze": _same_shape,
}
