"""Bound an operator's result from the ranges of its inputs and its constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from intaglio.graph import attribute, constant, shape
from intaglio.graph.access import input_value
from intaglio.graph.operators import named
from intaglio.number import QuantParams
from intaglio.ops import Fixed, float_operator
from intaglio.ops.batch_normalization import BatchNormalization
from intaglio.ops.functions import FUNCTIONS
from intaglio.ops.prelu import Leaky

Range = tuple[float, float]
_SAMPLES = (1 << 16) + 1
_STEEP = frozenset({"Exp", "Log", "Reciprocal"})  # a provable input range gives no useful range of their results


def static_range(node: ir.Node, inputs: Sequence[Range | None]) -> Range | None:
    """Bound a node's result over all inputs in their ranges.

    Args:
        node: its constants are known.
        inputs: for each input a real range that contains 0; None for constants and for unknown ranges.
    Returns:
        (low, high), or None if no finite bounds are known.
    """
    contract = float_operator(node).contract(node)
    if isinstance(contract.output, Fixed):
        return contract.output.low, contract.output.high
    found: list[Range | None] = [
        given if (array := constant(value)) is None else (float(array.min()), float(array.max()))
        for value, given in zip(node.inputs, inputs, strict=True)
    ]
    rule = _RULES.get(node.op_type)
    if contract.clamp is not None:
        low, high = contract.clamp
        result = None if found[0] is None else (min(max(found[0][0], low), high), min(max(found[0][1], low), high))
    elif rule is not None:
        result = rule(node, found)
    else:
        result = _function(node, found)
    return result if result is not None and math.isfinite(result[0]) and math.isfinite(result[1]) else None


def distinguished(node: ir.Node, given: Range, result: QuantParams) -> Range:
    """Cut a function's input range to the part in which its quantized result changes; outside, the code is constant.

    Args:
        node: a function of one value.
        given: the range of its input.
        result: the parameters of its output.
    Returns:
        The cut range, or `given` for other nodes.
    """
    x = np.linspace(*given, _SAMPLES)
    low, high = 0.0, 0.0
    curves = _curves(node, x)
    for y in curves:
        codes = result.quantize(y)
        first, last = np.flatnonzero(codes != codes[0]), np.flatnonzero(codes != codes[-1])
        if not first.size or not last.size:
            return given
        low, high = min(low, float(x[first[0] - 1])), max(high, float(x[last[-1] + 1]))
    return (low, high) if curves else given


def _curves(node: ir.Node, x: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Evaluate a function of one value at x: one curve, or two if slopes differ per channel; none for other nodes."""
    if node.op_type in _STEEP:
        return []
    if node.op_type in FUNCTIONS:
        return [np.asarray(FUNCTIONS[node.op_type](node, torch.from_numpy(x.copy())).numpy())]
    if node.op_type not in Leaky.op_types:
        return []
    slopes, _ = Leaky.slopes(node)
    return [np.where(x < 0, slope * x, x) for slope in {float(slopes.min()), float(slopes.max())}]


def _function(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    curves = [] if ranges[0] is None else _curves(node, np.linspace(*ranges[0], _SAMPLES))
    if not curves:
        return None
    return min(float(y.min()) for y in curves), max(float(y.max()) for y in curves)


def _product(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    """Bound a Conv, Gemm or MatMul with a constant weight: the sum of its products' bounds per output channel."""
    weight, x = constant(node.inputs[1]), ranges[0]
    if weight is None or x is None or constant(node.inputs[0]) is not None:
        return None
    rows = weight.astype(np.float64)
    if node.op_type == "MatMul":
        rows = np.moveaxis(rows, -2, -1)
    elif node.op_type == "Gemm" and not attribute(node, "transB", 0):
        rows = rows.T
    rows = rows.reshape(len(rows), -1) if node.op_type == "Conv" else rows.reshape(-1, rows.shape[-1])
    rows = rows * (attribute(node, "alpha", 1.0) if node.op_type == "Gemm" else 1.0)
    bias = constant(input_value(node, 2))
    offset = np.zeros(1) if bias is None else bias.reshape(-1).astype(np.float64)
    if offset.size not in (1, len(rows)):
        return None
    ends = np.stack([rows * x[0], rows * x[1]])
    return _ends(ends.min(axis=0).sum(axis=1) + offset, ends.max(axis=0).sum(axis=1) + offset)


def _batch_normalization(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    if ranges[0] is None:
        return None
    gain, offset = BatchNormalization.affine(node)
    ends = np.stack([gain * ranges[0][0], gain * ranges[0][1]]) + offset
    return _ends(ends, ends)


def _ends(low: NDArray[np.float64], high: NDArray[np.float64]) -> Range:
    return min(0.0, float(low.min())), max(0.0, float(high.max()))


def _pairwise(combine: Callable[[float, float], float]) -> Callable[[ir.Node, Sequence[Range | None]], Range | None]:
    def rule(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
        a, b = ranges
        if a is None or b is None:
            return None
        corners = [combine(p, q) for p in a for q in b]
        return min(corners), max(corners)

    return rule


def _same_range(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    return ranges[0]


def _union(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    known = [r for r in ranges if r is not None]
    if len(known) != len(ranges):
        return None
    return min(r[0] for r in known), max(r[1] for r in known)


def _sum(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    if ranges[0] is None:
        return None
    count = math.prod(shape(node.inputs[0])) / max(1, math.prod(shape(node.outputs[0])))
    return ranges[0][0] * count, ranges[0][1] * count


_RULES: dict[str, Callable[[ir.Node, Sequence[Range | None]], Range | None]] = {
    **dict.fromkeys(named("product") - {"ConvTranspose"}, _product),
    **dict.fromkeys(named("averages"), _same_range),
    "Add": _pairwise(lambda a, b: a + b),
    "BatchNormalization": _batch_normalization,
    "Concat": _union,
    "Mul": _pairwise(lambda a, b: a * b),
    "ReduceSum": _sum,
    "Sub": _pairwise(lambda a, b: a - b),
}
