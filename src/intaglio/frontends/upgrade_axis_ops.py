"""Upgrade operators along axes: all axes given, none negative."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from intaglio.frontends.upgrade_inputs import ints, proper_axes, set_input, take_ints
from intaglio.graph.access import attribute, constant, rank, shape
from intaglio.graph.edit import add_constant, insert, set_attribute

Form = Callable[[ir.Graph, ir.Node, int], None]


def explicit_axis(default: int) -> Form:
    """Write the attribute `axis`, not negative."""

    def form(graph: ir.Graph, node: ir.Node, version: int) -> None:
        axis, full = int(attribute(node, "axis", default)), rank(node.inputs[0])
        set_attribute(node, "axis", proper_axes(node, [axis], full)[0])

    return form


def flatten(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Flatten: an axis that is not negative."""
    axis, full = int(attribute(node, "axis", 1)), rank(node.inputs[0])
    set_attribute(node, "axis", axis + full if axis < 0 else axis)


def softmax(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade softmaxes: before opset 13 the axes from `axis` on count as one, and `axis` is 1 by default."""
    source, result = node.inputs[0], node.outputs[0]
    sizes = shape(source)
    given = int(attribute(node, "axis", -1 if version >= 13 else min(1, len(sizes) - 1)))
    axis = proper_axes(node, [given], len(sizes))[0]
    set_attribute(node, "axis", axis)
    if version >= 13 or all(size == 1 for size in sizes[axis + 1 :]):
        return
    lead = [0] * axis
    flat = insert(
        graph,
        node,
        "Reshape",
        [source, ints(graph, node, "flat", [*lead, int(np.prod(sizes[axis:]))])],
        name=f"{node.name}.flatten",
    )
    node.replace_input_with(0, flat.outputs[0])
    result.shape = flat.outputs[0].shape
    target = ints(graph, node, "shape", [0, *sizes[1:]] if axis else sizes)
    append(graph, node, "Reshape", target, sizes)


def append(graph: ir.Graph, node: ir.Node, op_type: str, operand: ir.Value, sizes: Sequence[int]) -> None:
    """Change the shape of a node's result to `sizes`; the value of the new shape takes over its name.

    Args:
        graph: that of the node.
        node: its first result has type and shape.
        op_type: a Reshape or Squeeze.
        operand: its second input, constant.
        sizes: those of the new node's result.
    """
    result = node.outputs[0]
    back = ir.Node("", op_type, [result, operand], name=f"{node.name}.{op_type.lower()}", num_outputs=1)
    back.outputs[0].name = back.name
    back.outputs[0].type, back.outputs[0].shape = result.type, ir.Shape(sizes)
    graph.insert_after(node, back)
    users = [use for use in result.uses() if use.node is not back]
    for use in users:
        use.node.replace_input_with(use.idx, back.outputs[0])
    name = str(result.name)
    result.name, back.outputs[0].name = f"{name}__flat", name
    for index, output in enumerate(graph.outputs):
        if output is result:
            graph.outputs[index] = back.outputs[0]


def reduce(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade reductions: complete axes as an input."""
    axes = take_ints(node, "axes", 1, 13 if node.op_type == "ReduceSum" else 18, version)
    full = rank(node.inputs[0])
    if not axes:
        if attribute(node, "noop_with_empty_axes", 0):
            return
        axes = list(range(full))
    node.attributes.pop("noop_with_empty_axes", None)
    set_attribute(node, "keepdims", int(attribute(node, "keepdims", 1)))
    set_input(node, 1, ints(graph, node, "axes", sorted(proper_axes(node, axes, full))))


def squeeze(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Squeeze: complete axes as an input."""
    sizes = shape(node.inputs[0])
    axes = take_ints(node, "axes", 1, 13, version)
    ones = [axis for axis, size in enumerate(sizes) if size == 1]
    found = ones if axes is None else proper_axes(node, axes, len(sizes))
    if not found:
        node.op_type = "Identity"
        node.resize_inputs(1)
        return
    set_input(node, 1, ints(graph, node, "axes", sorted(found)))


def unsqueeze(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Unsqueeze: axes as an input."""
    axes = take_ints(node, "axes", 1, 13, version)
    full = rank(node.outputs[0])
    set_input(node, 1, ints(graph, node, "axes", sorted(proper_axes(node, axes or [], full))))


def split(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Split: the sizes of all parts as an input."""
    axis = proper_axes(node, [int(attribute(node, "axis", 0))], rank(node.inputs[0]))[0]
    set_attribute(node, "axis", axis)
    take_ints(node, "split", 1, 13, version)
    node.attributes.pop("num_outputs", None)
    set_input(node, 1, ints(graph, node, "split", [shape(output)[axis] for output in node.outputs]))


def matmul(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade MatMul: a vector operand becomes a matrix of one row or column, which the result drops again."""
    sizes = list(shape(node.outputs[0]))
    vectors = [index for index in (0, 1) if rank(node.inputs[index]) == 1]
    for index in vectors:
        value = node.inputs[index]
        assert value is not None
        array = constant(value)
        if array is None:
            axes = ints(graph, node, f"axes_{index}", [index])
            matrix = insert(graph, node, "Unsqueeze", [value, axes], name=f"{node.name}.matrix_{index}").outputs[0]
        else:
            matrix = add_constant(graph, str(value.name), np.expand_dims(array, index))
        node.replace_input_with(index, matrix)
    if not vectors:
        return
    full = len(sizes) + len(vectors)
    gone = [full - 2 + index for index in vectors]  # the added row or column, last or last but one
    widened = iter(sizes)
    node.outputs[0].shape = ir.Shape([1 if axis in gone else next(widened) for axis in range(full)])
    append(graph, node, "Squeeze", ints(graph, node, "axes", gone), sizes)


def dft(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade DFT: the axis is an input from opset 20 on, and was 1 by default before."""
    if version < 20:
        axis = int(attribute(node, "axis", 1))
        node.attributes.pop("axis", None)
        set_input(node, 2, add_constant(graph, f"{node.name}.axis", np.array(axis, np.int64)))
