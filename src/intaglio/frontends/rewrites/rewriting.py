"""What a rewrite is written with: nodes in front of one node, whose result takes its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape
from intaglio.graph.compute import compute_node
from intaglio.graph.edit import AttributeValue, add_constant, can_be_output, insert, remove, replace


@dataclass(frozen=True)
class Rewriting:
    """Inserts nodes in front of `node`; what is computed from constants alone becomes a constant at once.

    Args:
        graph: that holds the node; static shapes, every node in the form of `opset_upgrade`.
        node: the node that is to be replaced.
    """

    graph: ir.Graph
    node: ir.Node

    def apply(self, op_type: str, *inputs: ir.Value | None, **attributes: AttributeValue) -> ir.Value:
        """Insert an operator of one output."""
        made = insert(self.graph, self.node, op_type, inputs, attributes, name=f"{self.node.name}.{op_type.lower()}")
        if any(value is not None and not value.is_initializer() for value in inputs):
            return made.outputs[0]
        (array,) = compute_node(made, [constant(value) for value in inputs], dict(self.graph.opset_imports))
        assert isinstance(array, np.ndarray)
        folded = add_constant(self.graph, str(next(v.name for v in inputs if v is not None)), array)
        remove(self.graph, made)
        return folded

    def number(self, value: float, role: str) -> ir.Value:
        """Make a float32 constant."""
        return self.array(np.array(value, np.float32), role)

    def array(self, array: Array, role: str) -> ir.Value:
        """Make a constant named after the node and its role."""
        return add_constant(self.graph, f"{self.node.name}.{role}", array)

    def ints(self, values: Sequence[int], role: str) -> ir.Value:
        """Make a constant int64 vector."""
        return self.array(np.array(values, np.int64), role)

    def input(self, index: int) -> ir.Value:
        """Get an input that has to be there."""
        value = input_value(self.node, index)
        assert value is not None, self.node.name
        return value

    def reshape(self, value: ir.Value, sizes: Sequence[int]) -> ir.Value:
        """Reshape to known sizes; axis 0 is carried over where it keeps its size, so that it may be a batch."""
        if shape(value) == tuple(sizes):
            return value
        target = list(sizes)
        if rank(value) and target and shape(value)[0] == target[0]:
            target[0] = 0
        return self.apply("Reshape", value, self.ints(target, "shape"))

    def transpose(self, value: ir.Value, order: Sequence[int]) -> ir.Value:
        """Change the order of axes: axis k of the result is axis `order[k]`."""
        return value if list(order) == list(range(rank(value))) else self.apply("Transpose", value, perm=list(order))

    def slice(self, value: ir.Value, axis: int, start: int, stop: int, step: int = 1) -> ir.Value:
        """Take positions `start`, `start + step`, ... below `stop` of one axis."""
        if (start, step) == (0, 1) and stop >= shape(value)[axis]:
            return value
        bounds = (("starts", start), ("ends", stop), ("axes", axis), ("steps", step))
        return self.apply("Slice", value, *(self.ints([number], role) for role, number in bounds))

    def pad(self, value: ir.Value, amounts: dict[int, tuple[int, int]], fill: float = 0.0) -> ir.Value:
        """Pad axes with one number; `amounts` has (before, after) of each axis."""
        if not any(map(any, amounts.values())):
            return value
        full = rank(value)
        before, after = ([amounts.get(axis, (0, 0))[end] for axis in range(full)] for end in (0, 1))
        filled = None if fill == 0.0 else self.number(fill, "border")
        return self.apply("Pad", value, self.ints([*before, *after], "pads"), filled, mode="constant")

    def gather(self, value: ir.Value, axis: int, indices: Array) -> ir.Value:
        """Select by constant indices, not negative, which replace the axis."""
        return self.apply("Gather", value, self.array(indices.astype(np.int64), "indices"), axis=axis)

    def flat(self, value: ir.Value, lead: int) -> ir.Value:
        """Merge every axis behind the first `lead`."""
        sizes = shape(value)
        return self.reshape(value, (*sizes[:lead], math.prod(sizes[lead:])))

    def finish(self, value: ir.Value) -> None:
        """Put a value in the place of the node's result, which keeps its name."""
        result = self.node.outputs[0]
        if result.is_graph_output() and not can_be_output(value):
            value = self.apply("Identity", value)
        replace(result, value)
        remove(self.graph, self.node)


def constant_input(node: ir.Node, index: int) -> Array | None:
    """Get the array of an input; None where it is left out or computed."""
    return constant(input_value(node, index))


def is_float(value: ir.Value | None) -> bool:
    """Tell whether a value holds float32."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def axis_of(node: ir.Node, default: int = 0) -> int:
    """Get the attribute `axis`, not negative."""
    return int(attribute(node, "axis", default)) % rank(node.inputs[0])
