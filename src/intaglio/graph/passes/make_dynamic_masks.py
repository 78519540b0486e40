"""Bring attention masks that are computed to one form, `Where(keep, scores, lowest)` (see `graph.attention_masks`).

    Softmax(scores + v)             v computed from booleans or integers, 0 where it keeps and at most -1000 elsewhere
    Softmax(Where(m, scores, c))    m computed, c at most -1000; or with both exchanged

Of v = a * m + b, with m a converted integer or boolean, positions are kept where v > -1000. Sums of such masks, also
with a constant, keep what all of them keep.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, consumers, is_output, shape, where
from intaglio.graph.attention_masks import FAR_ENOUGH, LOWEST, dynamic_mask_of
from intaglio.graph.edit import add_constant, insert, replace
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts

Keep = Callable[[ir.Node], ir.Value]
"""Inserts, before a node, what computes the booleans of a mask."""


def make_dynamic_masks(graph: Graph) -> list[str]:
    """Write every computed mask in front of a Softmax in one form."""
    changes = []
    for node in graph.nodes:
        if node.graph is None or node.domain or is_output(node.outputs[0]) or dynamic_mask_of(node) is not None:
            continue
        users = consumers(node.outputs[0])
        if not users or any(user.op_type != "Softmax" for user in users):
            continue
        found = _choice(graph, node) if node.op_type == "Where" else _sum(graph, node)
        if found is None:
            continue
        scores, keep = found
        lowest = add_constant(graph.model.graph, f"{node.name}.lowest", np.array(LOWEST, np.float32))
        inputs = [keep(node), scores, lowest]
        made = insert(graph.model.graph, node, "Where", inputs, name=f"{node.name}.mask")
        replace(node.outputs[0], made.outputs[0])
        changes.append(f"{where(node)} is a mask of softmax that is computed: what it masks is left out")
    return changes


def _sum(graph: Graph, node: ir.Node) -> tuple[ir.Value, Keep] | None:
    """Read scores + mask."""
    if node.op_type != "Add":
        return None
    for index in (0, 1):
        scores, mask = node.inputs[index], node.inputs[1 - index]
        if scores is None or constant(scores) is not None or shape(scores) != shape(node.outputs[0]):
            continue
        keep = _kept(graph, mask) if constant(mask) is None else None  # `make_masks` reads constants
        if keep is not None:
            return scores, keep
    return None


def _choice(graph: Graph, node: ir.Node) -> tuple[ir.Value, Keep] | None:
    """Read Where(m, scores, c) and Where(m, c, scores)."""
    condition = node.inputs[0]
    if condition is None or constant(condition) is not None:
        return None
    for index in (1, 2):
        scores, other = node.inputs[index], constant(node.inputs[3 - index])
        if other is None or not bool((other <= -FAR_ENOUGH).all()) or scores is None or constant(scores) is not None:
            continue
        if shape(scores) == shape(node.outputs[0]):
            return scores, _itself(condition) if index == 1 else _negated(graph, _itself(condition))
    return None


def _kept(graph: Graph, value: ir.Value | None) -> Keep | None:
    """Find out where a value that is added to scores is about 0, if it is at most -1000 everywhere else."""
    array, node = constant(value), value.producer() if value is not None else None
    if array is not None:
        return _constant(graph, array)
    if node is None or node.domain:
        return None
    if node.op_type == "Add" and not any(_number(v) is not None for v in node.inputs):
        return _both(graph, _kept(graph, node.inputs[0]), _kept(graph, node.inputs[1]))
    if _moves(node):
        inner = _kept(graph, node.inputs[0])
        return None if inner is None else _moved(graph, node, inner)
    if node.op_type == "Where":
        return _kept_choice(graph, node)
    return _kept_line(graph, value)


def _kept_choice(graph: Graph, node: ir.Node) -> Keep | None:
    """Read a choice between 0 and a number at most -1000, or between such a number and another mask."""
    condition, numbers = node.inputs[0], [_number(value) for value in node.inputs[1:]]
    if condition is None:
        return None
    held = constant(condition)
    holds = _itself(condition) if held is None else _constant_of(graph, np.asarray(held, bool))
    for number, other, keeps in (
        (numbers[0], node.inputs[2], _negated(graph, holds)),
        (numbers[1], node.inputs[1], holds),
    ):
        if number is None or number > -FAR_ENOUGH:
            continue
        rest = _number(other)
        if (rest is not None and abs(rest) < FAR_ENOUGH) or (
            number == numbers[0] and _is_zero_where_not(condition, other)
        ):
            return keeps
        inner = _kept(graph, other) if constant(other) is None else None
        return _both(graph, keeps, inner)
    return None


def _is_zero_where_not(condition: ir.Value, value: ir.Value | None) -> bool:
    """Tell whether the condition is `value != 0`."""
    cast = condition.producer()
    return cast is not None and cast.op_type == "Cast" and cast.inputs[0] is value


def _kept_line(graph: Graph, value: ir.Value | None) -> Keep | None:
    """Read a * m + b of a converted integer or boolean m."""
    factor, addend, moves = 1.0, 0.0, []
    node = value.producer() if value is not None else None
    while node is not None and not node.domain and node.op_type != "Cast":
        numbers = [_number(v) for v in node.inputs[:2]]
        index = next((i for i, number in enumerate(numbers) if number is None), 0)
        number = numbers[1 - index] if len(numbers) > 1 else None
        if _moves(node):
            moves.append(node)
        elif node.op_type == "Neg":
            factor = -factor
        elif number is None:
            return None
        elif node.op_type == "Mul":
            factor *= number
        elif node.op_type == "Add":
            addend += factor * number
        elif node.op_type == "Sub":
            addend += factor * (number if index == 1 else -number)
            factor = -factor if index == 1 else factor
        else:
            return None
        inner = node.inputs[index]
        node = inner.producer() if inner is not None else None
    if node is None or node.op_type != "Cast" or attribute(node, "to") != int(ir.DataType.FLOAT):
        return None
    source = node.inputs[0]
    if source is None or source.dtype == ir.DataType.FLOAT or abs(factor) < FAR_ENOUGH:
        return None
    keep = _beyond(graph, source, factor, addend)
    for move in reversed(moves):
        keep = _moved(graph, move, keep) if keep is not None else None
    return keep


def _beyond(graph: Graph, source: ir.Value, factor: float, addend: float) -> Keep | None:
    """Keep where factor * source + addend > -1000: above or below some whole number, beside which it is about 0."""
    kept = round(-addend / factor)
    edge = kept - 1 if factor > 0 else kept + 1
    if abs(factor * kept + addend) > 1.0 or factor * edge + addend > -FAR_ENOUGH or abs(edge) > 2**24:
        return None
    if source.dtype == ir.DataType.BOOL:
        same = _itself(source)
        return same if factor > 0 else _negated(graph, same)
    assert source.dtype is not None
    dtype = source.dtype.numpy()

    def keep(before: ir.Node) -> ir.Value:
        number = add_constant(graph.model.graph, f"{before.name}.edge", np.array(edge, dtype))
        op_type = "Greater" if factor > 0 else "Less"
        return insert(graph.model.graph, before, op_type, [source, number], name=f"{before.name}.keep").outputs[0]

    return keep


def _constant(graph: Graph, array: Array) -> Keep | None:
    near = np.abs(array) < 1e-3
    return (
        _constant_of(graph, near) if array.dtype.kind == "f" and bool((near | (array <= -FAR_ENOUGH)).all()) else None
    )


def _constant_of(graph: Graph, kept: Array) -> Keep:
    return lambda before: add_constant(graph.model.graph, f"{before.name}.kept", kept)


def _itself(value: ir.Value) -> Keep:
    return lambda before: value


def _negated(graph: Graph, keep: Keep) -> Keep:
    def negated(before: ir.Node) -> ir.Value:
        value = keep(before)
        array = constant(value)
        if array is not None:
            return add_constant(graph.model.graph, f"{before.name}.kept", ~array)
        return insert(graph.model.graph, before, "Not", [value], name=f"{before.name}.not").outputs[0]

    return negated


def _both(graph: Graph, one: Keep | None, other: Keep | None) -> Keep | None:
    if one is None or other is None:
        return None

    def both(before: ir.Node) -> ir.Value:
        inputs = [one(before), other(before)]
        return insert(graph.model.graph, before, "And", inputs, name=f"{before.name}.and").outputs[0]

    return both


def _moves(node: ir.Node) -> bool:
    """Tell whether a node does nothing but move the elements of its one computed operand; a Pad adds others."""
    held = all(value is None or constant(value) is not None for value in node.inputs[1:])
    return facts(node.op_type).moves and node.op_type != "Pad" and held and len(node.outputs) == 1


def _moved(graph: Graph, move: ir.Node, keep: Keep) -> Keep:
    """Move booleans as a node moves the mask that they stand for."""

    def moved(before: ir.Node) -> ir.Value:
        inner = graph.model.graph
        held = [constant(value) for value in move.inputs[1:]]
        rest = [None if a is None else add_constant(inner, f"{before.name}.moved", a) for a in held]
        attributes = {name: attribute(move, name) for name in move.attributes}
        source = keep(before)
        return insert(inner, before, move.op_type, [source, *rest], attributes, name=f"{before.name}.moved").outputs[0]

    return moved


def _number(value: ir.Value | None) -> float | None:
    """Get the number that a constant holds everywhere."""
    array = constant(value)
    if array is None or not array.size or array.dtype.kind not in "fiu":
        return None
    first = array.reshape(-1)[0]
    return float(first) if bool((array == first).all()) else None
