"""Bound the numbers that a value can hold."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value
from intaglio.graph.operators import facts

_DEEPEST = 32


def bounds(value: ir.Value | None, depth: int = 0) -> tuple[float, float]:
    """Find the interval in which every element of a value lies; infinite where nothing is known."""
    unknown = (-math.inf, math.inf)
    if value is None or depth > _DEEPEST:
        return unknown
    array = constant(value)
    if array is not None:
        return (float(array.min()), float(array.max())) if array.size and array.dtype.kind in "fiu" else unknown
    node = value.producer()
    if node is None or node.domain:
        return unknown
    row = facts(node.op_type)
    if node.op_type == "Relu":
        return 0.0, max(0.0, bounds(node.inputs[0], depth + 1)[1])
    if row.range != unknown:
        return row.range
    if node.op_type == "Clip":
        return _clip(node, depth)
    if node.op_type == "AveragePool" and attribute(node, "count_include_pad", 0) and any(attribute(node, "pads", ())):
        low, high = bounds(node.inputs[0], depth + 1)
        return min(low, 0.0), max(high, 0.0)
    if node.op_type == "Pad":
        return unknown  # the padding value may lie outside
    if row.moves or row.averages or row.largest:
        return bounds(node.inputs[0], depth + 1)
    if node.op_type == "Concat" or row.extremum:
        found = [bounds(source, depth + 1) for source in node.inputs]
        lows, highs = [low for low, _ in found], [high for _, high in found]
        if node.op_type == "Max":
            return max(lows), max(highs)
        return (min(lows), min(highs)) if node.op_type == "Min" else (min(lows), max(highs))
    return unknown


def _clip(node: ir.Node, depth: int) -> tuple[float, float]:
    low, high = bounds(node.inputs[0], depth + 1)
    for index in (1, 2):
        if input_value(node, index) is None:
            continue
        bound = constant(input_value(node, index))
        if bound is None:
            return -math.inf, math.inf
        number = float(np.ravel(bound)[0])
        low, high = (max(low, number), max(high, number)) if index == 1 else (min(low, number), min(high, number))
    return low, high


def lower_bound(value: ir.Value) -> float:
    """Find the largest number known to be at most every element."""
    return bounds(value)[0]
