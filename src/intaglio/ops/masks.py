"""Masks of attention: which positions a softmax leaves out"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph.attention_masks import mask_of, scores_of
from intaglio.ops.contract import Contract, Role, Same
from intaglio.ops.float_operator import Lowering

__all__ = ["lower_mask", "mask_contract", "mask_of", "mask_rows"]


def mask_contract(node: ir.Node, keep: NDArray[np.bool_]) -> Contract:
    """Contract of a mask in either form: the scores stay as they are, and nothing else is quantized."""
    left, empty = keep.size - int(keep.sum()), int((~keep).all(axis=-1).sum())
    why = f"{left} of {keep.size} positions are masked: the softmax leaves them out, and gives them exactly 0"
    if empty:
        why += f"; a row in which all are masked ({empty} of {keep.size // keep.shape[-1]}) becomes uniform"
    scores = scores_of(node)
    roles = tuple(Role.ACTIVATION if value is scores else Role.OFFLINE for value in node.inputs)
    return Contract(roles, Same(roles.index(Role.ACTIVATION)), masks=True, why=why)


def lower_mask(node: ir.Node, to: Lowering) -> None:
    """Pass on the scores themselves; the softmax asks for the mask."""
    x = to.operand(scores_of(node))
    to.alias(node.outputs[0], x, x.axes)


def mask_rows(keep: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask (broadcasting to `shape`) as rows along the last axis, (R, N); the rows of `shape` repeat them."""
    first = next((axis for axis, size in enumerate(keep.shape[:-1]) if size > 1), len(shape) - 1)
    inner = shape[first:]
    rows = np.broadcast_to(keep.reshape(keep.shape[first:]), inner)
    return np.ascontiguousarray(rows.reshape(math.prod(inner[:-1]), inner[-1]))
