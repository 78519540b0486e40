"""Fold a Pad into the convolution or pool after it, where the border means the same there."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, consumers, input_value, rank, single_consumer, where
from intaglio.graph.bounds import lower_bound
from intaglio.graph.edit import remove, replace, set_attribute, set_constant
from intaglio.graph.graph import Graph

BELOW_ALL_DATA = -1e9
"""A border of this or less, or of -inf, is how exporters write "no element"; no network computes with such numbers."""


def fold_pads(graph: Graph) -> list[str]:
    """Take every constant Pad into all of its readers, or leave it."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None or node.op_type != "Pad" or attribute(node, "mode", "constant") != "constant":
            continue
        spatial = _spatial_pads(node)
        merged = _merge_following(inner, node)
        if merged is not None:
            changes.append(merged)
            continue
        users = consumers(node.outputs[0])
        if spatial is None or not users or node.outputs[0].is_graph_output():
            continue
        if len(users) != len(node.outputs[0].uses()) or not all(_takes(user, node, spatial) for user in users):
            continue
        for user in users:
            _take(user, node, spatial)
        changes.append(f"{where(node)} taken into {', '.join(where(user) for user in users)}")
        remove(inner, node)
    return changes


def _value(node: ir.Node) -> float | None:
    """Get the number that fills the border; None if it is computed."""
    if input_value(node, 2) is None:
        return 0.0
    array = constant(input_value(node, 2))
    return None if array is None or array.size != 1 else float(array.ravel()[0])


def _spatial_pads(node: ir.Node) -> list[int] | None:
    """Get the pads of axes 2 and up, all beginnings before all ends; None where other axes are padded or one is cut."""
    array = constant(input_value(node, 1))
    full = rank(node.inputs[0])
    if array is None or full < 3 or bool((array < 0).any()):
        return None
    begins, ends = array[:full], array[full:]
    if begins[:2].any() or ends[:2].any():
        return None
    return [int(pad) for pad in (*begins[2:], *ends[2:])]


def _grown(user: ir.Node, pads: list[int]) -> list[int]:
    old = attribute(user, "pads", (0,) * len(pads))
    return [int(a) + b for a, b in zip(old, pads, strict=True)]


def _takes(user: ir.Node, pad: ir.Node, pads: list[int]) -> bool:
    if user.domain or user.inputs[0] is not pad.outputs[0] or attribute(user, "ceil_mode", 0):
        return False
    value = _value(pad)
    if value is None:
        return False
    if user.op_type == "Conv":
        return value == 0.0
    kernel = attribute(user, "kernel_shape", ())
    # Runtimes refuse windows that may lie in the border alone.
    if any(total >= width for total, width in zip(_grown(user, pads), (*kernel, *kernel), strict=False)):
        return False
    if user.op_type == "AveragePool":
        counted = attribute(user, "count_include_pad", 0) or not any(attribute(user, "pads"))
        return value == 0.0 and bool(counted)
    if user.op_type == "MaxPool" and set(attribute(user, "dilations")) == {1} and len(user.outputs) == 1:
        # Each window holds a real element, so a border that is never larger cannot be its maximum.
        source = pad.inputs[0]
        return source is not None and value <= max(lower_bound(source), BELOW_ALL_DATA)
    return False


def _take(user: ir.Node, pad: ir.Node, pads: list[int]) -> None:
    if user.op_type == "AveragePool":
        set_attribute(user, "count_include_pad", 1)
    set_attribute(user, "pads", _grown(user, pads))
    user.replace_input_with(0, pad.inputs[0])


def _merge_following(graph: ir.Graph, node: ir.Node) -> str | None:
    """Merge two constant Pads with the same value, neither of which cuts."""
    following = single_consumer(node.outputs[0])
    if following is None or following.op_type != "Pad" or attribute(following, "mode", "constant") != "constant":
        return None
    first, second = constant(input_value(node, 1)), constant(input_value(following, 1))
    if first is None or second is None or _value(node) is None or _value(node) != _value(following):
        return None
    if following.inputs[0] is not node.outputs[0] or bool((first < 0).any()) or bool((second < 0).any()):
        return None
    pads = node.inputs[1]
    assert pads is not None
    set_constant(pads, np.asarray(first + second))
    text = f"{where(following)} merged with {where(node)}"
    replace(following.outputs[0], node.outputs[0])
    node.outputs[0].shape = following.outputs[0].shape
    remove(graph, following)
    return text
