"""Normalizations in the newest opset's form."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.upgrade_inputs import set_input
from intaglio.graph.access import attribute, constant, rank, shape, where
from intaglio.graph.edit import add_constant, insert, remove_unread_before, replace


def group_normalization(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Expand one scale and bias per group, as before opset 21, to one per channel."""
    if version >= 21:
        return
    repeats = shape(node.inputs[0])[1] // int(attribute(node, "num_groups"))
    for index, role in ((1, "scale"), (2, "bias")):
        array = constant(node.inputs[index])
        if array is None:
            raise ModelError(f"{where(node)} expected a constant {role}, got a computed one")
        set_input(node, index, add_constant(graph, f"{node.name}.{role}", np.repeat(array, repeats)))


def mean_variance_normalization(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Write (x - mean) / (sqrt(mean of (x - mean)^2) + 1e-9), which is how ONNX defines it."""
    x = node.inputs[0]
    axes = np.array([axis % rank(x) for axis in attribute(node, "axes", (0, 2, 3))], dtype=np.int64)

    def put(op_type: str, *inputs: ir.Value | np.ndarray | None) -> ir.Value:
        given = [
            add_constant(graph, f"{node.name}.{op_type.lower()}.operand", value)
            if isinstance(value, np.ndarray)
            else value
            for value in inputs
        ]
        return insert(graph, node, op_type, given, name=f"{node.name}.{op_type.lower()}").outputs[0]

    centred = put("Sub", x, put("ReduceMean", x, axes))
    variance = put("ReduceMean", put("Mul", centred, centred), axes)
    result = put("Div", centred, put("Add", put("Sqrt", variance), np.array(1e-9, dtype=np.float32)))
    replace(node.outputs[0], result)
    remove_unread_before(graph, node)
