"""Operators along axes: which ones they are is given, complete and not negative."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from intaglio.frontends.form_inputs import ints, set_input, take_ints
from intaglio.graph.access import attribute, rank, shape
from intaglio.graph.edit import insert, set_attribute

Form = Callable[[ir.Graph, ir.Node, int], None]


def explicit_axis(default: int) -> Form:
    """The attribute `axis`, given and not negative."""

    def form(graph: ir.Graph, node: ir.Node, version: int) -> None:
        axis = int(attribute(node, "axis", default))
        set_attribute(node, "axis", axis % max(rank(node.outputs[0]), rank(node.inputs[0]), 1))

    return form


def flatten(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Flatten: an axis that is not negative."""
    axis, full = int(attribute(node, "axis", 1)), rank(node.inputs[0])
    set_attribute(node, "axis", axis + full if axis < 0 else axis)


def softmax(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Before opset 13 the axes from `axis` on are taken together as one, and `axis` is 1 by default."""
    source, result = node.inputs[0], node.outputs[0]
    sizes = shape(source)
    axis = int(attribute(node, "axis", -1 if version >= 13 else min(1, len(sizes) - 1))) % max(len(sizes), 1)
    if version >= 13 or all(size == 1 for size in sizes[axis + 1 :]):
        set_attribute(node, "axis", axis)
        return
    set_attribute(node, "axis", axis)
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
    _append_reshape(graph, node, sizes)


def _append_reshape(graph: ir.Graph, node: ir.Node, sizes: Sequence[int]) -> None:
    """Reshape the result of a node; the reshaped value takes over its name."""
    result = node.outputs[0]
    target = ints(graph, node, "shape", [0, *sizes[1:]])
    back = ir.Node("", "Reshape", [result, target], name=f"{node.name}.unflatten", num_outputs=1)
    back.outputs[0].name = f"{node.name}.unflatten"
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
    """Reductions: complete axes as an input."""
    axes = take_ints(node, "axes", 1, 13 if node.op_type == "ReduceSum" else 18, version)
    full = rank(node.inputs[0])
    if not axes:
        if attribute(node, "noop_with_empty_axes", 0):
            return
        axes = list(range(full))
    node.attributes.pop("noop_with_empty_axes", None)
    set_attribute(node, "keepdims", int(attribute(node, "keepdims", 1)))
    set_input(node, 1, ints(graph, node, "axes", sorted(axis % full for axis in axes)))


def squeeze(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Squeeze: complete axes as an input."""
    sizes = shape(node.inputs[0])
    axes = take_ints(node, "axes", 1, 13, version)
    found = [i for i, size in enumerate(sizes) if size == 1] if axes is None else [a % len(sizes) for a in axes]
    if not found:
        node.op_type = "Identity"
        node.resize_inputs(1)
        return
    set_input(node, 1, ints(graph, node, "axes", sorted(found)))


def unsqueeze(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Unsqueeze: axes as an input."""
    axes = take_ints(node, "axes", 1, 13, version)
    full = rank(node.outputs[0])
    set_input(node, 1, ints(graph, node, "axes", sorted(a % full for a in axes or [])))


def split(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Split: the sizes of all parts as an input."""
    axis = int(attribute(node, "axis", 0)) % rank(node.inputs[0])
    set_attribute(node, "axis", axis)
    take_ints(node, "split", 1, 13, version)
    node.attributes.pop("num_outputs", None)
    set_input(node, 1, ints(graph, node, "split", [shape(output)[axis] for output in node.outputs]))
