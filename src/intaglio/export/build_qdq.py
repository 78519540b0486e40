"""Create nodes and constants of the exported model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from intaglio.files import Digest
from intaglio.graph import Graph, attribute, shape
from intaglio.graph.unique_names import unique_name


class Builder:
    """Creates nodes and constants with unique names.

    Args:
        graph: the graph whose model is changed.
    """

    def __init__(self, graph: Graph) -> None:
        self.model = graph.model
        self.graph = graph.model.graph
        self.names = set(graph.values())
        self.node_names = {str(node.name) for node in self.graph}

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, int],
        name: str,
        dtype: ir.DataType,
        size: tuple[int, ...],
    ) -> ir.Node:
        """Create a node, not yet in the graph, with one output named `name` (made unique)."""
        given = [ir.AttrInt64(key, value) for key, value in attributes.items()]
        label = unique_name(f"{name}_{op_type}" if op_type == "DequantizeLinear" else name, self.node_names)
        self.node_names.add(label)
        output = ir.Value(name=self.fresh(name), shape=ir.Shape(size), type=ir.TensorType(dtype))
        return ir.Node("", op_type, inputs, given, name=label, outputs=[output])

    def initializer(self, name: str, content: ir.Tensor[Any]) -> ir.Value:
        """Create a constant named `name` (made unique)."""
        content.name = self.fresh(name)
        value = ir.Value(name=content.name, shape=content.shape, type=ir.TensorType(content.dtype), const_value=content)
        self.graph.register_initializer(value)
        return value

    def fresh(self, name: str) -> str:
        """Return a unique name based on `name`."""
        name = unique_name(name, self.names)
        self.names.add(name)
        return name

    def sigmoid_and_product(self, node: ir.Node) -> None:
        """Replace Swish by Sigmoid and Mul, which every runtime supports; the value between is not quantized."""
        x, alpha, size = node.inputs[0], float(attribute(node, "alpha", 1.0)), shape(node.outputs[0])
        assert x is not None
        inner = x
        if alpha != 1.0:
            factor = self.initializer(f"{node.name}_alpha", ir.Tensor(np.array(alpha, np.float32)))
            scaled = self.node("Mul", [x, factor], {}, f"{node.name}_scaled", ir.DataType.FLOAT, size)
            self.graph.insert_before(node, scaled)
            inner = scaled.outputs[0]
        gate = self.node("Sigmoid", [inner], {}, f"{node.name}_gate", ir.DataType.FLOAT, size)
        self.graph.insert_before(node, gate)
        node.op_type = "Mul"
        node.attributes.clear()
        node.resize_inputs(2)
        node.replace_input_with(1, gate.outputs[0])


_LEAST_SHARED = 256  # bytes; smaller constants keep their own names for readability


def share_constants(graph: ir.Graph) -> None:
    """Merge equal constants, for example of layers that share a weight, under the name of the first."""
    first: dict[tuple[object, ...], ir.Value] = {}
    for value in list(graph.initializers.values()):
        content = value.const_value
        if content is None or content.nbytes < _LEAST_SHARED or value.is_graph_output():
            continue
        key = (content.dtype, tuple(content.shape.numpy()), Digest().elements(content.numpy()).name())
        found = first.setdefault(key, value)
        if found is not value:
            value.replace_all_uses_with(found)
            graph.initializers.pop(str(value.name))
