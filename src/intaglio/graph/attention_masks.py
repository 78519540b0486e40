"""Recognise attention masks in normal form: `Where(keep, scores, lowest)`, constant `keep`, in front of softmaxes.

The lowest float32 number stands for minus infinity: next to any other score its softmax is exactly 0, and a row of
nothing else gives equal shares instead of NaN.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph.access import Array, constant, consumers, is_output, rank, shape

LOWEST = float(np.finfo(np.float32).min)


def mask_of(node: ir.Node | None) -> NDArray[np.bool_] | None:
    """Find the positions that a mask keeps, in the rank of its result; None where the node is not a mask."""
    if node is None or node.op_type != "Where" or node.domain:
        return None
    keep, other, result = constant(node.inputs[0]), constant(node.inputs[2]), node.outputs[0]
    if keep is None or other is None or other.size != 1 or float(other.reshape(-1)[0]) != LOWEST:
        return None
    if constant(node.inputs[1]) is not None or shape(node.inputs[1]) != shape(result) or is_output(result):
        return None
    if not all(user.op_type == "Softmax" for user in consumers(result)):
        return None
    return np.asarray(with_rank(keep, rank(result)), bool)


def with_rank(array: Array, axes: int) -> Array:
    """Add leading axes of size 1 to an array."""
    return array.reshape((1,) * (axes - array.ndim) + array.shape)
