"""The range that an operator's result can have at all, from the ranges of its inputs and its constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph import attribute, constant
from intaglio.graph.access import input_value

Range = tuple[float, float]


def static_range(node: ir.Node, inputs: Sequence[Range | None]) -> Range | None:
    """Bounds of what a node computes, over every input in its range.

    Args:
        node: its constants are known.
        inputs: real ranges that contain 0, None for constants and what is not known.
    Returns:
        (low, high), or None where the operator is not one of those that can end a network this way.
    """
    rule = _RULES.get(node.op_type)
    if rule is None:
        return None
    found = [inputs[i] if a is None else (float(a.min()), float(a.max())) for i, a in enumerate(map(constant, node.inputs))]
    return rule(node, found)


def _product(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    """Conv, Gemm, MatMul with a constant weight: sum of the products' bounds, per output channel."""
    weight, x = constant(node.inputs[1]), ranges[0]
    if weight is None or x is None or constant(node.inputs[0]) is not None:
        return None
    rows = weight.astype(np.float64)
    if node.op_type == "MatMul":
        rows = np.moveaxis(rows, -2, -1)
    elif node.op_type == "Gemm" and not attribute(node, "transB", 0):
        rows = rows.T
    rows = rows.reshape(-1, rows.shape[-1]) if node.op_type != "Conv" else rows.reshape(len(rows), -1)
    rows = rows * (attribute(node, "alpha", 1.0) if node.op_type == "Gemm" else 1.0)
    low = np.minimum(rows * x[0], rows * x[1]).sum(axis=1)
    high = np.maximum(rows * x[0], rows * x[1]).sum(axis=1)
    bias = constant(input_value(node, 2))
    offset = np.zeros(1) if bias is None else bias.reshape(-1).astype(np.float64)
    if offset.size not in (1, low.size):
        return None
    return _ends(low + offset, high + offset)


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


def _of_the_input(node: ir.Node, ranges: Sequence[Range | None]) -> Range | None:
    return ranges[0]


_RULES: dict[str, Callable[[ir.Node, Sequence[Range | None]], Range | None]] = {
    **dict.fromkeys(["Conv", "Gemm", "MatMul"], _product),
    **dict.fromkeys(["AveragePool", "GlobalAveragePool"], _of_the_input),
    "Add": _pairwise(lambda a, b: a + b),
    "Mul": _pairwise(lambda a, b: a * b),
    "Sub": _pairwise(lambda a, b: a - b),
}
