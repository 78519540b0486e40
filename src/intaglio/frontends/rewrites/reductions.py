"""Reductions as sums, maxima and functions of them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting, axis_of, constant_input, is_float
from intaglio.graph.access import attribute, rank, shape

_MOST_FACTORS = 64


def reduce_l1(r: Rewriting) -> None:
    """Write sum |x|."""
    if _axes(r):
        r.finish(_reduce(r, "ReduceSum", r.apply("Abs", r.input(0)), keepdims=_keepdims(r)))


def lp_normalization(r: Rewriting) -> None:
    """Write x / sum |x|; division by the root of squares has an operator of its own."""
    if int(attribute(r.node, "p", 2)) == 1 and is_float(r.node.inputs[0]):
        axes = r.ints([axis_of(r.node, -1)], "axes")
        total = r.apply("ReduceSum", r.apply("Abs", r.input(0)), axes, keepdims=1)
        r.finish(r.apply("Div", r.input(0), total))


def reduce_log_sum(r: Rewriting) -> None:
    """Write log(sum x)."""
    if _axes(r):
        r.finish(r.apply("Log", _reduce(r, "ReduceSum", r.input(0), keepdims=_keepdims(r))))


def reduce_log_sum_exp(r: Rewriting) -> None:
    """Write max + log(sum exp(x - max)), whose sum lies between 1 and the number of elements."""
    if not _axes(r):
        return
    largest = _reduce(r, "ReduceMax", r.input(0), keepdims=1)
    total = _reduce(r, "ReduceSum", r.apply("Exp", r.apply("Sub", r.input(0), largest)), keepdims=1)
    result = r.apply("Add", largest, r.apply("Log", total))
    r.finish(result if _keepdims(r) else r.apply("Squeeze", result, r.ints(_axes(r), "axes")))


def reduce_prod(r: Rewriting) -> None:
    """Multiply the slices along each axis, in pairs, pairs of pairs and so on."""
    size, value = shape(r.input(0)), r.input(0)
    axes = _axes(r)
    if not axes or np.prod([size[axis] for axis in axes]) > _MOST_FACTORS:
        return
    for axis in axes:
        parts = [r.slice(value, axis, i, i + 1) for i in range(size[axis])]
        while len(parts) > 1:
            pairs = [r.apply("Mul", *parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
            parts = pairs + parts[len(parts) // 2 * 2 :]
        value = parts[0]
    r.finish(value if _keepdims(r) else r.apply("Squeeze", value, r.ints(axes, "axes")))


def _axes(r: Rewriting) -> list[int]:
    """List the axes that are reduced; none where they are computed, or the numbers are no floats."""
    given, full = constant_input(r.node, 1), rank(r.node.inputs[0])
    if not is_float(r.node.inputs[0]) or given is None:
        return []
    return sorted(int(axis) % full for axis in given)


def _keepdims(r: Rewriting) -> int:
    return int(attribute(r.node, "keepdims", 1))


def _reduce(r: Rewriting, op_type: str, value: ir.Value, keepdims: int) -> ir.Value:
    return r.apply(op_type, value, r.ints(_axes(r), "axes"), keepdims=keepdims)
