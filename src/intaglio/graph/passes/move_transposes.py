"""Reorder Transposes and Reshapes of attention layers so that they need as few axes as possible.

    Reshape (B, H, N, D) to (B H, N, D) -> Transpose -> Reshape to (B, H, D, N)     is one Transpose
    Transpose -> Slice of one position -> Reshape                                   is Slice, Reshape, Transpose
    Transpose -> Reshape without axes of size 1                                     is Reshape, Transpose

The batch stays in axis 0 afterwards, where it can.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, consumers, input_value, shape, single_consumer, where
from intaglio.graph.edit import add_constant, insert, remove_unread, replace, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.permute import Perm, is_identity


def move_transposes(graph: Graph) -> list[str]:
    """Apply the three rules until none fits."""
    changes: list[str] = []
    inner = graph.model.graph
    while True:
        for node in inner:
            if node.op_type == "Transpose" and not node.domain:
                before = where(node)
                text = next((text for rule in _RULES if (text := rule(inner, node)) is not None), None)
                if text is not None:
                    changes.append(f"{before} {text}")
                    remove_unread(inner)
                    inner.sort()
                    break
        else:
            return changes


def _reshape(graph: ir.Graph, before: ir.Node, source: ir.Value, sizes: list[int], name: str) -> ir.Value:
    target = [0 if shape(source)[:1] == tuple(sizes[:1]) else sizes[0], *sizes[1:]] if sizes else []
    constant_target = add_constant(graph, f"{name}.shape", np.array(target, dtype=np.int64))
    return insert(graph, before, "Reshape", [source, constant_target], name=name).outputs[0]


def _unmerge(graph: ir.Graph, node: ir.Node) -> str | None:
    """Remove a merge of leading axes before a Transpose that leaves them in front, and their split after it."""
    perm = attribute(node, "perm")
    value = node.inputs[0]
    before = value.producer() if value is not None else None
    after = single_consumer(node.outputs[0])
    if perm[0] != 0 or before is None or before.op_type != "Reshape" or after is None or after.op_type != "Reshape":
        return None
    whole, merged, result = shape(before.inputs[0]), shape(value), shape(after.outputs[0])
    lead = len(whole) - len(merged) + 1
    if lead < 2 or whole[lead:] != merged[1:] or result != (*whole[:lead], *shape(node.outputs[0])[1:]):
        return None
    order = [*range(lead), *(axis + lead - 1 for axis in perm[1:])]
    direct = insert(graph, after, "Transpose", [before.inputs[0]], {"perm": order}, name=f"{node.name}.whole")
    text = f"without {where(before)} and {where(after)} around it"
    replace(after.outputs[0], direct.outputs[0])
    return text


def _dropped(before: tuple[int, ...], after: tuple[int, ...]) -> list[int] | None:
    """Find the axes of size 1 to remove from `before` to get `after`; None if there are none."""
    gone, position = [], 0
    for axis, size in enumerate(before):
        if (
            position < len(after)
            and after[position] == size
            and (size != 1 or len(before) - axis <= len(after) - position)
        ):
            position += 1
        elif size == 1:
            gone.append(axis)
        else:
            return None
    return gone if position == len(after) and gone else None


def _behind_reshape(graph: ir.Graph, node: ir.Node) -> str | None:
    """Move a Reshape that only drops axes of size 1 before the Transpose; the batch stays where it is."""
    perm = attribute(node, "perm")
    reshape = single_consumer(node.outputs[0])
    source = node.inputs[0]
    if reshape is None or source is None or not _reshapes(reshape, node.outputs[0]):
        return None
    dropped = _dropped(shape(node.outputs[0]), shape(reshape.outputs[0]))
    gone = [axis for axis in dropped or () if perm[axis] != 0]
    if not gone:
        return None
    name = str(reshape.name)
    _replace_reshape(graph, reshape, _without_axes(graph, reshape, source, perm, gone, name))
    return f"behind [Reshape '{name}']"


def _replace_reshape(graph: ir.Graph, reshape: ir.Node, result: ir.Value) -> None:
    """Let a value stand for what a Reshape computed, through another Reshape where the sizes still differ."""
    sizes = list(shape(reshape.outputs[0]))
    if list(shape(result)) != sizes:
        result = _reshape(graph, reshape, result, sizes, f"{reshape.name}.further")
    replace(reshape.outputs[0], result)


def _without_axes(
    graph: ir.Graph, before: ir.Node, source: ir.Value, perm: Perm, gone: list[int], name: str
) -> ir.Value:
    """Insert a Reshape and a Transpose: a Transpose by `perm` without the axes `gone` of its result, of size 1."""
    sizes = shape(source)
    away = {perm[axis] for axis in gone}
    left = [axis for axis in range(len(sizes)) if axis not in away]
    smaller = _reshape(graph, before, source, [sizes[axis] for axis in left], f"{name}.dropped")
    order = [left.index(axis) for axis in perm if axis not in away]
    if is_identity(order):
        return smaller
    return insert(graph, before, "Transpose", [smaller], {"perm": order}, name=f"{name}.transposed").outputs[0]


def _behind_slices(graph: ir.Graph, node: ir.Node) -> str | None:
    """Move Slices of one position, each read by Reshapes only, before the Transpose, and drop the axis."""
    perm, source = attribute(node, "perm"), node.inputs[0]
    users = consumers(node.outputs[0])
    if source is None or node.outputs[0].is_graph_output() or not users:
        return None
    axes: dict[ir.Node, int] = {}
    for user in users:
        axis = _one_position(user, node.outputs[0])
        if axis is None or not all(_reshapes(reader, user.outputs[0]) for reader in consumers(user.outputs[0])):
            return None
        if user.outputs[0].is_graph_output() or not consumers(user.outputs[0]):
            return None
        axes[user] = axis
    text = f"behind {', '.join(where(user) for user in users)}"
    for user, axis in axes.items():
        chosen = user.inputs[3]
        assert chosen is not None
        set_constant(chosen, np.array([perm[axis]], dtype=np.int64))
        user.replace_input_with(0, source)
        sizes = list(shape(source))
        sizes[perm[axis]] = 1
        user.outputs[0].shape = ir.Shape(sizes)
        for reader in consumers(user.outputs[0]):
            result = _without_axes(graph, reader, user.outputs[0], perm, [axis], str(reader.name))
            _replace_reshape(graph, reader, result)
    return text


def _one_position(node: ir.Node, value: ir.Value) -> int | None:
    """Find the axis of which a Slice takes one position."""
    if node.op_type != "Slice" or node.domain or node.inputs[0] is not value:
        return None
    axes = constant(input_value(node, 3))
    if axes is None or len(axes) != 1 or shape(node.outputs[0])[int(axes[0])] != 1:
        return None
    return int(axes[0])


def _reshapes(node: ir.Node, value: ir.Value) -> bool:
    return node.op_type == "Reshape" and not node.domain and node.inputs[0] is value


_RULES = (_unmerge, _behind_slices, _behind_reshape)
