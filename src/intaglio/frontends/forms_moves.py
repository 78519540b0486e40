"""Operators that move numbers, with every size, position and padding given."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.form_inputs import ints, set_input, take_ints
from intaglio.graph.access import attribute, constant, input_value, rank, shape, where
from intaglio.graph.edit import add_constant, set_attribute


def pad(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Pad: pads of every axis; no value where it is 0."""
    full = rank(node.inputs[0])
    set_attribute(node, "mode", attribute(node, "mode", "constant"))
    pads = take_ints(node, "pads", 1, 11, version)
    assert pads is not None
    if version < 11:
        fill = float(attribute(node, "value", 0.0))
        node.attributes.pop("value", None)
        if fill:
            set_input(node, 2, add_constant(graph, f"{node.name}.value", np.array(fill, dtype=np.float32)))
    axes = input_value(node, 3)
    if axes is not None:
        chosen = constant(axes)
        if chosen is None:
            raise ModelError(f"{where(node)} expected constant axes, got '{axes.name}', computed at run time")
        complete = [0] * (2 * full)
        for position, axis in enumerate(chosen.ravel()):
            complete[int(axis) % full] = pads[position]
            complete[int(axis) % full + full] = pads[position + len(pads) // 2]
        pads = complete
    node.resize_inputs(min(len(node.inputs), 3))
    set_input(node, 1, ints(graph, node, "pads", pads))
    value = constant(input_value(node, 2))
    if len(node.inputs) == 3 and (
        node.inputs[2] is None or attribute(node, "mode") != "constant" or (value is not None and not value.any())
    ):
        node.resize_inputs(2)


def slice_(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Slice: starts, ends, axes and steps of the axes that are cut, in order."""
    sizes = shape(node.inputs[0])
    starts = take_ints(node, "starts", 1, 10, version)
    ends = take_ints(node, "ends", 2, 10, version)
    axes = take_ints(node, "axes", 3, 10, version)
    steps = take_ints(node, "steps", 4, 10, version)
    assert starts is not None
    assert ends is not None
    axes = list(range(len(starts))) if axes is None else [axis % len(sizes) for axis in axes]
    rows = []
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        size = sizes[axis]
        begin, stop = (position + size if position < 0 else position for position in (start, end))
        if step > 0:
            begin, stop = min(max(begin, 0), size), min(max(stop, 0), size)
        else:
            # A stop before index 0 is written as -size-1: adding the size once gives -1.
            begin, stop = min(max(begin, 0), size - 1), min(max(stop, -1), size - 1)
            stop = -size - 1 if stop == -1 else stop
        if (begin, stop, step) != (0, size, 1):
            rows.append((axis, begin, stop, step))
    if not rows:
        node.op_type = "Identity"
        node.resize_inputs(1)
        return
    rows.sort()
    for index, (role, column) in enumerate((("starts", 1), ("ends", 2), ("axes", 0), ("steps", 3)), start=1):
        set_input(node, index, ints(graph, node, role, [row[column] for row in rows]))


def reshape(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Reshape: sizes that are all known, 0 where axis 0 is kept."""
    node.attributes.pop("allowzero", None)
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if 0 in target:
        raise ModelError(f"{where(node)} expected a tensor with elements, got the empty shape {tuple(target)}")
    if source and target and source[0] == target[0]:
        target[0] = 0
    set_input(node, 1, ints(graph, node, "shape", target))


def expand(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Expand: 1 where an axis keeps its size."""
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if len(source) == len(target):
        target = [1 if a == b else b for a, b in zip(source, target, strict=True)]
    set_input(node, 1, ints(graph, node, "shape", target))


def transpose(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Transpose: perm given."""
    full = rank(node.inputs[0])
    perm = attribute(node, "perm", tuple(reversed(range(full))))
    set_attribute(node, "perm", [int(axis) % full for axis in perm])
