"""Masks of attention: which positions a softmax leaves out.   y = x where it is kept, -inf elsewhere"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import where
from intaglio.graph.attention_masks import mask_of, scores_of
from intaglio.ops.contract import Contract, Role, Same
from intaglio.ops.float_operator import FloatOperator, Lowering

__all__ = ["Where", "lower_mask", "mask_contract", "mask_of", "mask_rows"]


class Where(FloatOperator):
    """ONNX Where; of integers only as a mask with constant positions, which `graph.passes.make_masks` writes."""

    op_types = ("Where",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        condition, x, y = inputs
        assert condition is not None and x is not None and y is not None
        return torch.where(condition.bool(), x, y)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """The scores stay as they are: the softmaxes that read them do not look at what is left out."""
        keep = mask_of(node)
        if keep is None:
            raise UnsupportedOperatorError(
                f"{where(node)} expected a mask: a constant condition, -100 or less where it leaves something out, and "
                "Softmax alone behind it; write other choices with Mul and Add, or with Max and Min"
            )
        return mask_contract(node, keep)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """The scores themselves; the softmax asks for the mask."""
        lower_mask(node, to)


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
