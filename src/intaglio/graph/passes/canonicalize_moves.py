"""Bring data movement to one form: axes by Reshape, evenly spaced Gathers by Slice, constants at the ends by Pad."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, shape, single_consumer, where
from intaglio.graph.edit import add_constant, drop_inputs, insert, set_attribute, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.pattern import keeps_shape


def canonicalize_moves(graph: Graph) -> list[str]:
    """Rewrite each node that has a simpler equal form; a row of `_RULES` returns what it became."""
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


def _reshape(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite Flatten, Squeeze and Unsqueeze -> Reshape to sizes that are all known."""
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if source and target and source[0] == target[0]:
        target[0] = 0
    drop_inputs(graph, node, 1)
    node.op_type = "Reshape"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(1, add_constant(graph, f"{node.name}.shape", np.array(target, dtype=np.int64)))
    return f"Reshape to {tuple(shape(node.outputs[0]))}"


def _gather(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite Gather of evenly spaced indices, also of a single one -> Slice (and a Reshape where an axis goes)."""
    indices = constant(input_value(node, 1))
    source = node.inputs[0]
    if indices is None or source is None or source.is_initializer() or indices.ndim > 1 or indices.size == 0:
        return None
    axis = int(attribute(node, "axis", 0))
    size = shape(source)[axis]
    flat = [int(index) % size for index in indices.ravel()]
    steps = {b - a for a, b in itertools.pairwise(flat)} or {1}
    step = steps.pop()
    if steps or step < 1:
        return None
    columns = ("starts", flat[0]), ("ends", flat[-1] + 1), ("axes", axis), ("steps", step)
    inputs = [
        add_constant(graph, f"{node.name}.{role}", np.array([number], dtype=np.int64)) for role, number in columns
    ]
    if indices.ndim == 1:
        drop_inputs(graph, node, 1)
        node.op_type = "Slice"
        node.attributes.clear()
        node.resize_inputs(5)
        for position, value in enumerate(inputs, start=1):
            node.replace_input_with(position, value)
        return "Slice"
    cut = insert(graph, node, "Slice", [source, *inputs], name=f"{node.name}.slice")
    node.replace_input_with(0, cut.outputs[0])
    _reshape(graph, node)
    return "Slice and Reshape"


def _concat_of_constants(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite a Concat of a value with constants at its ends, to which a constant is added -> Pad and Add.

    Transformers put a class token in front of the others and add positions to all. As part of the sum the token is
    there for every sample of a batch.
    """
    following = single_consumer(node.outputs[0])
    computed = [index for index, value in enumerate(node.inputs) if value is not None and not value.is_initializer()]
    if len(computed) != 1 or len(node.inputs) == 1 or following is None or following.op_type != "Add":
        return None
    addend = constant(input_value(following, 1))
    if addend is None or addend.dtype != np.float32 or not keeps_shape(following, node.outputs[0]):
        return None
    axis, source = int(attribute(node, "axis")), node.inputs[computed[0]]
    arrays = [constant(value) for value in node.inputs]
    parts = [np.zeros(shape(source), np.float32) if array is None else array for array in arrays]
    total = np.concatenate(parts, axis=axis) + addend
    if shape(source)[0] != 1:  # another row for each sample
        return None
    pads = np.zeros((2, total.ndim), dtype=np.int64)
    pads[0, axis] = sum(part.shape[axis] for part in parts[: computed[0]])
    pads[1, axis] = sum(part.shape[axis] for part in parts[computed[0] + 1 :])
    addend_value = following.inputs[1]
    assert addend_value is not None
    set_constant(addend_value, total)
    drop_inputs(graph, node, 0)
    node.resize_inputs(2)
    node.replace_input_with(0, source)
    node.replace_input_with(1, add_constant(graph, f"{node.name}.pads", pads.ravel()))
    node.op_type = "Pad"
    node.attributes.clear()
    set_attribute(node, "mode", "constant")
    return f"Pad, its constants added in {where(following)}"


_RULES: dict[str, Callable[[ir.Graph, ir.Node], str | None]] = {
    "Concat": _concat_of_constants,
    "Flatten": _reshape,
    "Gather": _gather,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
}
