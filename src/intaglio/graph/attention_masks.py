"""Recognise attention masks in normal form, in front of softmaxes:

    Where(keep, scores, lowest)    keep constant
    Add(scores, c)                 c constant: 0 where a position is kept, else one number from -1e5 to -100

The lowest float32 number stands for minus infinity: next to any other score its softmax is exactly 0, and a row of
nothing else gives equal shares instead of NaN. A small number is no infinity: scores that differ by more outweigh it.
So such a mask stays a sum in the Graph, and calibration decides whether it masks (`ptq.weak_masks`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph.access import Array, attribute, constant, consumers, is_output, rank, shape

LOWEST = float(np.finfo(np.float32).min)


FAR = 100.0
"""exp(-100) is less than float32's smallest normal number: a number below -100 masks, beside scores of usual size."""
FAR_ENOUGH = 1000.0
"""A computed mask of this number masks: scores of real networks differ by less."""
BEYOND_SCORES = 1e5
"""No score outweighs a constant mask of this number: beside it float32 keeps two digits after the point."""
_KEY, _SUM = "intaglio.mask", "sum"


def mask_of(node: ir.Node | None) -> NDArray[np.bool_] | None:
    """Find the positions that a mask keeps, in the rank of its result; None where the node is not a mask."""
    if node is None or node.domain or is_sum(node):
        return None
    keep = _kept_by_where(node) if node.op_type == "Where" else _kept_by_sum(node) if node.op_type == "Add" else None
    if keep is None:
        return None
    scores, result = scores_of(node), node.outputs[0]
    if constant(scores) is not None or shape(scores) != shape(result) or is_output(result):
        return None
    if not consumers(result) or not all(user.op_type == "Softmax" for user in consumers(result)):
        return None
    keep = np.asarray(with_rank(keep, rank(result)), bool)
    return keep if node.op_type == "Where" or _every_row_keeps_one(keep, consumers(result)) else None


def scores_of(mask: ir.Node) -> ir.Value:
    """Look up the scores that a mask reads."""
    index = 1 if mask.op_type == "Where" or constant(mask.inputs[0]) is not None else 0
    scores = mask.inputs[index]
    assert scores is not None
    return scores


def number_of(mask: ir.Node) -> float | None:
    """Look up the number at the positions that a mask leaves out; None where no score outweighs it."""
    other = constant(mask.inputs[2]) if mask.op_type == "Where" else _added(mask)
    assert other is not None
    lowest = float(other.min())
    return None if lowest < -BEYOND_SCORES else lowest


def keep_as_sum(mask: ir.Node) -> None:
    """Mark a node as no mask, though it has the form of one: from here on `mask_of` gives None."""
    mask.metadata_props[_KEY] = _SUM


def is_sum(node: ir.Node) -> bool:
    """Tell whether a node was marked by `keep_as_sum`."""
    return node.metadata_props.get(_KEY) == _SUM


def _kept_by_where(node: ir.Node) -> Array | None:
    keep, other = constant(node.inputs[0]), constant(node.inputs[2])
    if keep is None or other is None or other.size != 1 or float(other.reshape(-1)[0]) > -FAR:
        return None
    return np.asarray(keep, bool)


def _kept_by_sum(node: ir.Node) -> Array | None:
    added = _added(node)
    if added is None or added.dtype.kind != "f" or added.size == 0:
        return None
    number = float(added.min())
    keep = np.asarray(added != number)
    if not -BEYOND_SCORES <= number <= -FAR or added[keep].any():
        return None
    return keep


def _every_row_keeps_one(keep: NDArray[np.bool_], softmaxes: list[ir.Node]) -> bool:
    """Tell whether no row is masked as a whole: a number that is added to all of a row cancels in the softmax."""
    return all(bool(keep.any(axis=attribute(user, "axis", -1)).all()) for user in softmaxes)


def _added(node: ir.Node) -> Array | None:
    return next((array for array in map(constant, node.inputs) if array is not None), None)


def dynamic_mask_of(node: ir.Node | None) -> ir.Value | None:
    """Find the computed booleans by which a mask keeps positions; None where the node is no such mask."""
    if node is None or node.op_type != "Where" or node.domain:
        return None
    keep, other, result = node.inputs[0], constant(node.inputs[2]), node.outputs[0]
    if keep is None or constant(keep) is not None or other is None or other.size != 1:
        return None
    if float(other.reshape(-1)[0]) != LOWEST or is_output(result) or constant(node.inputs[1]) is not None:
        return None
    if shape(node.inputs[1]) != shape(result) or not consumers(result):
        return None
    return keep if all(user.op_type == "Softmax" for user in consumers(result)) else None


def with_rank(array: Array, axes: int) -> Array:
    """Add leading axes of size 1 to an array."""
    return array.reshape((1,) * (axes - array.ndim) + array.shape)
