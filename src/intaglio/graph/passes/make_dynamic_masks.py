"""Bring attention masks that are computed to one form, `Where(keep, scores, lowest)` (see `graph.attention_masks`).

    Softmax(scores + v)             v computed from booleans or integers, 0 where it keeps and at most -1000 elsewhere
    Softmax(Where(m, scores, c))    m computed, c at most -1000; or with both exchanged

Of v = a * m + b, with m a converted integer or boolean that is 0 or 1, positions are kept where v is the larger number.
Sums of such masks, also with a constant, keep what all of them keep.

Two things depend on the data and are assumed here, each named in the history. Integers are 0 and 1: beside the mask
(m - 1) * 1e4 an m of 2 would favour a position, and -1000 * m with no 0 in a row would keep the least m. And each row
keeps a position: else its softmax becomes uniform, whereas a number that is added to a whole row and does not absorb
the scores (-1e4, not -1e9) would cancel in the softmax.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, consumers, is_output, shape, where
from intaglio.graph.attention_masks import FAR_ENOUGH, LOWEST, dynamic_mask_of
from intaglio.graph.edit import add_constant, insert
from intaglio.graph.edit import replace as replace_value
from intaglio.graph.graph import Graph
from intaglio.graph.passes.kept_positions import Keep, both, constant_of, itself, moved, moves, negated

FINEST = 2.0**14
"""Beside larger numbers float32 has less than three decimals: added to all that is kept, they change the scores."""


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
        inputs = [keep.put(node), scores, lowest]
        made = insert(graph.model.graph, node, "Where", inputs, name=f"{node.name}.mask")
        replace_value(node.outputs[0], made.outputs[0])
        changes.append(
            f"{where(node)} is a mask of softmax that is computed: what it masks is left out; a row in which all are "
            f"masked becomes uniform{'; its integers are taken to be 0 or 1' if keep.integers else ''}"
        )
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
            return scores, itself(condition) if index == 1 else negated(graph, itself(condition))
    return None


def _kept(graph: Graph, value: ir.Value | None) -> Keep | None:
    """Find out where a value that is added to scores is about 0, if it is at most -1000 everywhere else."""
    array, node = constant(value), value.producer() if value is not None else None
    if array is not None:
        return _constant(graph, array)
    if node is None or node.domain:
        return None
    if node.op_type == "Add" and not any(_number(v) is not None for v in node.inputs):
        return both(graph, _kept(graph, node.inputs[0]), _kept(graph, node.inputs[1]))
    if moves(node):
        inner = _kept(graph, node.inputs[0])
        return None if inner is None else moved(graph, node, inner)
    if node.op_type == "Where":
        return _kept_choice(graph, node)
    return _kept_line(graph, value)


def _kept_choice(graph: Graph, node: ir.Node) -> Keep | None:
    """Read a choice between 0 and a number at most -1000, or between such a number and another mask."""
    condition, numbers = node.inputs[0], [_number(value) for value in node.inputs[1:]]
    if condition is None:
        return None
    held = constant(condition)
    holds = itself(condition) if held is None else constant_of(graph, np.asarray(held, bool))
    for number, other, keeps in (
        (numbers[0], node.inputs[2], negated(graph, holds)),
        (numbers[1], node.inputs[1], holds),
    ):
        if number is None or number > -FAR_ENOUGH:
            continue
        rest = _number(other)
        inner: Keep | None
        if number == numbers[0] and _is_zero_where_not(condition, other):
            inner = keeps
        elif rest is not None:
            inner = replace(keeps, level=rest) if abs(rest) < FAR_ENOUGH else None
        else:
            inner = both(graph, keeps, _kept(graph, other)) if constant(other) is None else None
        return inner if inner is not None and number - inner.level <= -FAR_ENOUGH else None
    return None


def _is_zero_where_not(condition: ir.Value, value: ir.Value | None) -> bool:
    """Tell whether the condition is `value != 0`."""
    cast = condition.producer()
    return cast is not None and cast.op_type == "Cast" and cast.inputs[0] is value


def _kept_line(graph: Graph, value: ir.Value | None) -> Keep | None:
    """Read a * m + b of a converted integer or boolean m."""
    factor, addend, movers = 1.0, 0.0, []
    node = value.producer() if value is not None else None
    while node is not None and not node.domain and node.op_type != "Cast":
        numbers = [_number(v) for v in node.inputs[:2]]
        index = next((i for i, number in enumerate(numbers) if number is None), 0)
        number = numbers[1 - index] if len(numbers) > 1 else None
        if moves(node):
            movers.append(node)
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
    keep = _larger(graph, source, factor, addend) if source is not None else None
    for move in reversed(movers):
        keep = moved(graph, move, keep) if keep is not None else None
    return keep


def _larger(graph: Graph, source: ir.Value, factor: float, addend: float) -> Keep | None:
    """Keep where factor * source + addend, of a source of 0 and 1, is the larger number, if the other is far below."""
    largest = max(addend, factor + addend)
    if not math.isfinite(largest) or abs(factor) < FAR_ENOUGH or source.dtype is None:
        return None
    if source.dtype == ir.DataType.BOOL and abs(largest) <= FINEST:
        same = itself(source)
        return replace(same if factor > 0 else negated(graph, same), level=largest)
    # Of integers only 0 and a number far below are surely a mask: others favour positions, and the more the larger m.
    if source.dtype.numpy().kind not in "iu" or abs(largest) > 1.0 or min(addend, factor + addend) > -FAR_ENOUGH:
        return None
    dtype = source.dtype.numpy()

    def put(before: ir.Node) -> ir.Value:
        number = add_constant(graph.model.graph, f"{before.name}.edge", np.array(0 if factor > 0 else 1, dtype))
        op_type = "Greater" if factor > 0 else "Less"
        return insert(graph.model.graph, before, op_type, [source, number], name=f"{before.name}.keep").outputs[0]

    return Keep(put, integers=True)


def _constant(graph: Graph, array: Array) -> Keep | None:
    near = np.abs(array) < 1e-3
    return constant_of(graph, near) if array.dtype.kind == "f" and bool((near | (array <= -FAR_ENOUGH)).all()) else None


def _number(value: ir.Value | None) -> float | None:
    """Get the number that a constant holds everywhere."""
    array = constant(value)
    if array is None or not array.size or array.dtype.kind not in "fiu":
        return None
    first = array.reshape(-1)[0]
    return float(first) if bool((array == first).all()) else None
