"""Upgrade data movement: write every size, position and padding."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.upgrade_inputs import ints, proper_axes, set_input, take_ints
from intaglio.graph.access import attribute, constant, input_value, rank, shape, where
from intaglio.graph.edit import add_constant, set_attribute


def pad(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Pad: pads of every axis; no value where it is 0."""
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
        padded = proper_axes(node, chosen.ravel().tolist(), full)
        if len(pads) != 2 * len(padded):
            raise ModelError(f"{where(node)} expected {2 * len(padded)} pads, two per axis, got {len(pads)}")
        complete = [0] * (2 * full)
        for position, axis in enumerate(padded):
            complete[axis], complete[axis + full] = pads[position], pads[position + len(padded)]
        pads = complete
    if len(pads) != 2 * full:
        raise ModelError(f"{where(node)} expected {2 * full} pads, two per axis, got {len(pads)}")
    node.resize_inputs(min(len(node.inputs), 3))
    set_input(node, 1, ints(graph, node, "pads", pads))
    value = constant(input_value(node, 2))
    if len(node.inputs) == 3 and (
        node.inputs[2] is None or attribute(node, "mode") != "constant" or (value is not None and not value.any())
    ):
        node.resize_inputs(2)


def slice_(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Slice: starts, ends, axes and steps of the axes that are cut, in order."""
    sizes = shape(node.inputs[0])
    starts = take_ints(node, "starts", 1, 10, version)
    ends = take_ints(node, "ends", 2, 10, version)
    axes = take_ints(node, "axes", 3, 10, version)
    steps = take_ints(node, "steps", 4, 10, version)
    assert starts is not None
    assert ends is not None
    axes = list(range(len(starts))) if axes is None else proper_axes(node, axes, len(sizes))
    steps = steps or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) <= len(sizes) or 0 in steps:
        raise ModelError(
            f"{where(node)} expected a start, an end and a step other than 0 for each of at most {len(sizes)} axes, "
            f"got starts {starts}, ends {ends}, axes {axes}, steps {steps}"
        )
    rows = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
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
    """Upgrade Reshape: sizes that are all known, 0 where axis 0 is kept."""
    node.attributes.pop("allowzero", None)
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if 0 in target:
        raise ModelError(f"{where(node)} expected a tensor with elements, got the empty shape {tuple(target)}")
    if source and target and source[0] == target[0]:
        target[0] = 0
    set_input(node, 1, ints(graph, node, "shape", target))


def expand(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Expand: 1 where an axis keeps its size."""
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if len(source) == len(target):
        target = [1 if a == b else b for a, b in zip(source, target, strict=True)]
    set_input(node, 1, ints(graph, node, "shape", target))


def transpose(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Transpose: perm given."""
    full = rank(node.inputs[0])
    perm = [int(axis) for axis in attribute(node, "perm", tuple(reversed(range(full))))]
    if len(perm) != full:
        raise ModelError(f"{where(node)} expected a perm of {full} axes, got {perm}")
    set_attribute(node, "perm", proper_axes(node, perm, full))
