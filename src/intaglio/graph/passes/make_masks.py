"""Bring attention masks to one form (see `graph.attention_masks`), however exporters write them.

    Softmax(scores + c)            c constant, with elements of -100 and less below the largest of their row
    Softmax(Where(m, scores, c))   m constant, c at most -100; or with both exchanged

All else that a constant adds stays a sum. One number of -1e5 to -100 gets a sum of its own, which may be a mask:
calibration decides (`ptq.weak_masks`). Several numbers mask from -1000 on.
Where a constant masks a whole row, its size decides, as in float32: -1e9 and less absorbs the scores, and the row
becomes uniform; a smaller one cancels in the softmax and is left out.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph.access import attribute, constant, consumers, is_output, rank, shape, single_consumer, where
from intaglio.graph.attention_masks import (
    BEYOND_SCORES,
    FAR,
    FAR_ENOUGH,
    LOWEST,
    dynamic_mask_of,
    is_sum,
    mask_of,
    scores_of,
    with_rank,
)
from intaglio.graph.edit import add_constant, insert, replace
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts

ABSORBS = -1e9


def make_masks(graph: Graph) -> list[str]:
    """Write every mask in front of a Softmax as `Where(keep, scores, lowest)`, and drop tests for rows without any."""
    changes = []
    for node in graph.nodes:
        if node.graph is None or node.domain:
            continue
        if node.op_type == "Where":
            made = _where(graph, node) or _without_nan(graph, node)
        else:
            made = _sum(graph, node) if facts(node.op_type).adds else None
        if made:
            changes.append(made)
    return changes


def _softmax_axis(node: ir.Node) -> int | None:
    """Find the axis of the softmaxes that read a node's result; None where other nodes read it."""
    users = consumers(node.outputs[0])
    if not users or is_output(node.outputs[0]) or any(user.op_type != "Softmax" for user in users):
        return None
    axes = {attribute(user, "axis", -1) % rank(node.outputs[0]) for user in users}
    return axes.pop() if len(axes) == 1 else None


def _sum(graph: Graph, node: ir.Node) -> str | None:
    axis, result = _softmax_axis(node), node.outputs[0]
    index = next((i for i in (0, 1) if constant(node.inputs[i]) is not None), None)
    if axis is None or index is None or (node.op_type == "Sub" and index == 0) or mask_of(node) is not None:
        return None
    scores = node.inputs[1 - index]
    added = constant(node.inputs[index])
    assert added is not None and scores is not None
    if constant(scores) is not None or shape(scores) != shape(result) or added.dtype.kind != "f":
        return None
    numbers = with_rank(added.astype(np.float64) * (-1 if node.op_type == "Sub" else 1), rank(result))
    if not bool((numbers <= -FAR).any()) or bool((numbers == np.inf).any()):
        return None
    if is_sum(node):
        return None
    numbers = numbers - _level(numbers, axis)
    if numbers.min() >= -BEYOND_SCORES and (made := _small_sum(graph, node, scores, numbers)):
        return made
    if -FAR_ENOUGH <= numbers.min() <= -FAR:
        return None
    keep, rest = _split(numbers, axis)
    return _write(graph, node, _with_bias(graph, node, scores, rest), keep)


def _small_sum(graph: Graph, node: ir.Node, scores: ir.Value, numbers: NDArray[np.float64]) -> str | None:
    """Part a sum into numbers of usual size and one small number that may mask: the result is exactly the same sum."""
    keep = numbers > -FAR
    if keep.all():
        return None
    number = float(numbers[~keep].max())
    rest = np.where(keep, numbers, numbers - number)
    if not bool((np.abs(rest) < FAR).all()):
        return None
    scores = _with_bias(graph, node, scores, rest)
    inner = graph.model.graph
    added = add_constant(inner, f"{node.name}.added", np.where(keep, 0, number).astype(np.float32))
    made = insert(inner, node, "Add", [scores, added], name=f"{node.name}.mask")
    node.outputs[0].replace_all_uses_with(made.outputs[0])
    left = keep.size - int(keep.sum())
    return f"{where(node)} may mask softmax: it adds {number:g} to {left} of {keep.size} positions"


def _with_bias(graph: Graph, node: ir.Node, scores: ir.Value, rest: NDArray[np.float64]) -> ir.Value:
    """Add numbers of usual size to scores, if there are any."""
    if not rest.any():
        return scores
    held = add_constant(graph.model.graph, f"{node.name}.bias", rest.astype(np.float32))
    return insert(graph.model.graph, node, "Add", [scores, held], name=f"{node.name}.sum").outputs[0]


def _level(numbers: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Find the number that is added to a whole row, which cancels in the softmax; 0 where it absorbs the scores."""
    top = numbers.max(axis=axis, keepdims=True)
    return np.where((top <= -FAR) & (top > ABSORBS), top, 0.0)


def _split(numbers: NDArray[np.float64], axis: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Split a mask into the elements of a row that are kept, and what is added to them."""
    top = numbers.max(axis=axis, keepdims=True)
    keep = np.where(top <= ABSORBS, False, numbers > top - FAR)
    return keep, np.where(keep, numbers, 0.0)


def _where(graph: Graph, node: ir.Node) -> str | None:
    if mask_of(node) is not None or _softmax_axis(node) is None:
        return None
    condition = constant(node.inputs[0])
    index = next((i for i in (1, 2) if constant(node.inputs[i]) is not None), None)
    if condition is None or index is None:
        return None
    scores, other = node.inputs[3 - index], constant(node.inputs[index])
    assert other is not None
    if scores is None or constant(scores) is not None or shape(scores) != shape(node.outputs[0]):
        return None
    keep = np.asarray(condition, bool) if index == 2 else ~np.asarray(condition, bool)
    used = np.broadcast_arrays(other, keep)[0][~np.broadcast_arrays(other, keep)[1]]
    if bool((used > -FAR).any()) or is_sum(node):
        return None
    if used.size and used[0] >= -BEYOND_SCORES and bool((used == used[0]).all()):
        return _write(graph, node, scores, keep, float(used[0]))
    return _write(graph, node, scores, keep) if bool((used < -FAR_ENOUGH).all()) else None


def _write(graph: Graph, node: ir.Node, scores: ir.Value, keep: NDArray[np.bool_], number: float = LOWEST) -> str:
    inner, result = graph.model.graph, node.outputs[0]
    if keep.all():
        result.replace_all_uses_with(scores)
        return f"{where(node)} taken out: it adds one number to each row, which softmax does not see"
    mask = add_constant(inner, f"{node.name}.keep", keep)
    lowest = add_constant(inner, f"{node.name}.lowest", np.array(number, np.float32))
    made = insert(inner, node, "Where", [mask, scores, lowest], name=f"{node.name}.mask")
    result.replace_all_uses_with(made.outputs[0])
    return f"{where(node)} is a mask of softmax: {keep.size - int(keep.sum())} of {keep.size} positions are left out"


def _without_nan(graph: Graph, node: ir.Node) -> str | None:
    """Remove Where(IsNaN(p), c, p) of a softmax p that has no mask, a computed mask, or one that empties no row."""
    test = node.inputs[0].producer() if node.inputs[0] is not None else None
    source = node.inputs[2]
    softmax = source.producer() if source is not None else None
    if test is None or test.op_type != "IsNaN" or test.inputs[0] is not source or softmax is None or source is None:
        return None
    if softmax.op_type != "Softmax" or softmax.inputs[0] is None or single_consumer(test.outputs[0]) is not node:
        return None
    masked = softmax.inputs[0].producer()
    keep, computed = mask_of(masked), dynamic_mask_of(masked)
    is_mask = masked is not None and (keep is not None or computed is not None)
    scores = scores_of(masked) if masked is not None and is_mask else softmax.inputs[0]
    if is_output(node.outputs[0]) or _may_be_infinite(scores):
        return None
    axis = attribute(softmax, "axis", -1) % rank(source)
    if computed is not None:
        why = "a row in which all are masked becomes uniform"
    elif masked is None or masked.op_type != "Where":
        why = "no mask is left in front of it"
    elif keep is not None and keep.any(axis=axis).all():
        why = "every row keeps a position"
    else:
        return None
    replace(node.outputs[0], source)
    return f"{where(node)} taken out: {where(softmax)} is never NaN{';' if computed is not None else ', as'} {why}"


def _may_be_infinite(scores: ir.Value) -> bool:
    """Tell whether an infinite constant, or the logarithm of 0, may reach scores element by element or by moves."""
    waiting: list[ir.Value | None] = [scores]
    seen: set[ir.Value] = set()
    while waiting:
        value = waiting.pop()
        if value is None or value in seen:
            continue
        seen.add(value)
        array, node = constant(value), value.producer()
        if array is not None and array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
            return True
        if node is None:
            continue
        if node.op_type == "Log":
            return True
        row = facts(node.op_type)
        if row.moves or node.op_type == "Concat" or (row.elementwise and not row.decides and not row.squashes):
            waiting += node.inputs[:1] if row.function else node.inputs
    return False
