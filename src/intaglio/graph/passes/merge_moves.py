"""Merge neighbouring data movement and clamps: Slice with Slice, Reshape with Reshape, Clip with Clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, shape, single_consumer, where
from intaglio.graph.bounds import bounds
from intaglio.graph.edit import add_constant, bypass, can_bypass, insert, remove, remove_unread_before, rename, replace
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts

Merge = Callable[[ir.Graph, ir.Node], str | None]


def merge_moves(graph: Graph) -> list[str]:
    """Merge each such node with the one before it. A row of `MERGES` returns what was done."""
    changes = []
    for node in graph.nodes:
        merge = MERGES.get(node.op_type)
        if node.graph is None or node.domain or merge is None:
            continue
        before = where(node)
        change = merge(graph.model.graph, node)
        if change:
            changes.append(f"{before} {change}")
    return changes


def _previous(node: ir.Node, op_type: str) -> ir.Node | None:
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    return producer if producer is not None and producer.op_type == op_type and not producer.domain else None


def _slice(graph: ir.Graph, node: ir.Node) -> str | None:
    """Merge Slices with positive steps: x[a:b:s][c:d:t] = x[a + c s : a + ... : s t], axis by axis."""
    previous = _previous(node, "Slice")
    if previous is None or single_consumer(previous.outputs[0]) is not node:
        return None
    rows: dict[int, tuple[int, int, int]] = {}
    for current in (previous, node):
        arrays = [constant(input_value(current, index)) for index in (1, 2, 3, 4)]
        if any(array is None for array in arrays):
            return None
        starts, ends, axes, steps = ([int(item) for item in array] for array in arrays if array is not None)
        if any(step < 1 for step in steps):
            return None
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            if axis not in rows:
                rows[axis] = (start, end, step)
            else:
                first, _, stride = rows[axis]
                count = -(-(end - start) // step)
                begin = first + start * stride
                rows[axis] = (begin, begin + (count - 1) * stride * step + 1, stride * step)
    order = sorted(rows)
    columns = [[rows[axis][index] for axis in order] for index in (0, 1)] + [order, [rows[a][2] for a in order]]
    for index, (role, column) in enumerate(zip(("starts", "ends", "axes", "steps"), columns, strict=True), start=1):
        old = node.inputs[index]
        node.replace_input_with(index, add_constant(graph, f"{node.name}.{role}", np.array(column, dtype=np.int64)))
        if old is not None and not old.uses():
            graph.initializers.pop(str(old.name), None)
    node.replace_input_with(0, previous.inputs[0])
    text = f"merged with {where(previous)}"
    remove(graph, previous)
    return text


def _reshape(graph: ir.Graph, node: ir.Node) -> str | None:
    """Let a Reshape after a Reshape read the input of the first one."""
    previous = _previous(node, "Reshape")
    if previous is None:
        return None
    source = previous.inputs[0]
    target = list(shape(node.outputs[0]))
    if shape(source)[:1] == tuple(target[:1]):
        target[0] = 0
    old = node.inputs[1]
    node.replace_input_with(1, add_constant(graph, f"{node.name}.shape", np.array(target, dtype=np.int64)))
    if old is not None and not old.uses():
        graph.initializers.pop(str(old.name), None)
    node.replace_input_with(0, source)
    text = f"merged with {where(previous)}"
    remove_unread_before(graph, previous)
    return text


def _transpose(graph: ir.Graph, node: ir.Node) -> str | None:
    """Merge a Transpose into the Transpose before it; one that moves only axes of size 1 becomes a Reshape."""
    previous = _previous(node, "Transpose")
    if previous is not None:
        first, second = attribute(previous, "perm"), attribute(node, "perm")
        perm = [first[axis] for axis in second]
        merged = insert(graph, node, "Transpose", [previous.inputs[0]], {"perm": perm}, name=f"{node.name}.merged")
        name = str(node.name)
        text = f"merged with {where(previous)}"
        replace(node.outputs[0], merged.outputs[0])
        remove_unread_before(graph, node)
        rename(merged, name)
        if perm == sorted(perm) and can_bypass(merged):
            bypass(graph, merged)
        return text
    return None


def _bounds(graph: ir.Graph, node: ir.Node) -> str | None:
    """Remove a Clip or Relu that cannot change anything; one after another takes over its bounds."""
    low, high = bounds(node.inputs[0])
    own_low, own_high = _limits(node)
    if own_low is None or own_high is None:
        return None
    if own_low <= low and own_high >= high and can_bypass(node):
        bypass(graph, node)
        return "cannot change its input: taken out"
    source = node.inputs[0]
    previous = source.producer() if source is not None else None
    if previous is None or not facts(previous.op_type).clamps or single_consumer(previous.outputs[0]) is not node:
        return None
    first_low, first_high = _limits(previous)
    if first_low is None or first_high is None or first_low > first_high or own_low > own_high:
        return None
    # clip(clip(x, a, b), c, d) = clip(x, clip(a, c, d), clip(b, c, d))
    new = [min(max(limit, own_low), own_high) for limit in (first_low, first_high)]
    inputs: list[ir.Value | None] = [previous.inputs[0]]
    for role, limit, absent in (("min", new[0], -np.inf), ("max", new[1], np.inf)):
        array = np.array(limit, dtype=np.float32)
        inputs.append(None if limit == absent else add_constant(graph, f"{node.name}.{role}", array))
    merged = insert(graph, node, "Clip", inputs, name=f"{node.name}.merged")
    name, text = str(node.name), f"merged with {where(previous)}"
    replace(node.outputs[0], merged.outputs[0])
    remove_unread_before(graph, node)
    rename(merged, name)
    return text


def _limits(node: ir.Node) -> tuple[float | None, float | None]:
    if node.op_type == "Relu":
        return 0.0, np.inf
    found: list[float | None] = []
    for index, absent in ((1, -np.inf), (2, np.inf)):
        if input_value(node, index) is None:
            found.append(absent)
        else:
            array = constant(input_value(node, index))
            found.append(None if array is None or array.size != 1 else float(array.ravel()[0]))
    return found[0], found[1]


def _concat(graph: ir.Graph, node: ir.Node) -> str | None:
    """Merge a Concat into the Concat along the same axis that alone reads it."""
    axis = int(attribute(node, "axis"))
    for index, source in enumerate(node.inputs):
        producer = source.producer() if source is not None else None
        if source is None or producer is None or producer.op_type != "Concat" or single_consumer(source) is not node:
            continue
        if int(attribute(producer, "axis")) != axis or producer.domain:
            continue
        values = [*node.inputs[:index], *producer.inputs, *node.inputs[index + 1 :]]
        text = f"merged with {where(producer)}"
        node.resize_inputs(len(values))
        for position, value in enumerate(values):
            node.replace_input_with(position, value)
        remove_unread_before(graph, producer)
        return text
    return None


MERGES: dict[str, Merge] = {
    "Clip": _bounds,
    "Concat": _concat,
    "Relu": _bounds,
    "Reshape": _reshape,
    "Slice": _slice,
    "Transpose": _transpose,
}
