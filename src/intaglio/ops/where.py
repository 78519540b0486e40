"""Choice between two operands, element by element.   y = a where the condition holds, b elsewhere

In front of a softmax it may be a mask of attention (see `graph.attention_masks`): nothing is chosen then, and the
softmax leaves out what is masked.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, rank, where
from intaglio.graph.attention_masks import dynamic_mask_of, mask_of
from intaglio.number import BOOLEAN
from intaglio.ops.contract import Contract, Joined, Role, Same
from intaglio.ops.float_operator import Axes, FloatOperator, Lowering, Placed
from intaglio.ops.masks import lower_mask, mask_contract
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.select import Select


class Where(FloatOperator):
    """ONNX Where with a constant or computed condition."""

    op_types = ("Where",)
    integers = (0,)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        condition, x, y = inputs
        assert condition is not None and x is not None and y is not None
        return torch.where(condition.bool(), x, y)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """As a mask the scores stay as they are: the softmaxes that read them do not look at what is left out."""
        keep = mask_of(node)
        if keep is not None:
            return mask_contract(node, keep)
        if dynamic_mask_of(node) is not None:
            why = (
                "a mask that is computed: the softmax leaves out what it masks, and gives it exactly 0; a row in which "
                "all are masked becomes uniform"
            )
            return Contract((Role.ACTIVATION, Role.ACTIVATION, Role.OFFLINE), Same(1), masks=True, why=why)
        if _is_far(node):
            raise UnsupportedOperatorError(
                f"{where(node)} expected a choice between numbers of one range, got one with a number beyond float16's "
                "range that is not a mask in front of a Softmax; write it with finite numbers"
            )
        roles = (Role.OFFLINE if constant(value) is not None else Role.ACTIVATION for value in node.inputs)
        return Contract(tuple(roles), Joined())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """The scores themselves where it is a mask, for which the softmax asks; else one `select`."""
        if mask_of(node) is not None or dynamic_mask_of(node) is not None:
            lower_mask(node, to)
            return
        size, result = rank(node.outputs[0]), to.result(node)
        computed = [value for value in node.inputs if constant(value) is None]
        full = next((value for value in computed if rank(value) == size), computed[0])
        axes = to.operand(full, rank=size).axes
        parts = [_condition(node, axes, to)]
        for value in node.inputs[1:]:
            array = constant(value)
            if array is not None:
                whole = array.reshape((1,) * (size - array.ndim) + array.shape).transpose(axes)
                codes = result.params.quantize(np.asarray(whole, np.float32))
                parts.append(to.integers(f"{node.name}.constant", codes, axes, result.params.type))
                continue
            part = to.operand(value, rank=size, axes=axes)
            if part.quant != result.params:
                operator = Requantize.from_real(part.quant, result.params, rule=to.rule)
                part = to.step(node, operator, [part], result.params, axes)
            parts.append(part)
        to.emit(node, Select(), parts, result.value, axes)


def _condition(node: ir.Node, axes: Axes, to: Lowering) -> Placed:
    """Place the condition with the rank of the result."""
    array = constant(node.inputs[0])
    if array is None:
        return to.operand(node.inputs[0], rank=len(axes), axes=axes)
    whole = np.asarray(array, bool).reshape((1,) * (len(axes) - array.ndim) + array.shape).transpose(axes)
    return to.integers(f"{node.name}.condition", whole, axes, BOOLEAN)


def _is_far(node: ir.Node) -> bool:
    held = [array for value in node.inputs[1:] if (array := constant(value)) is not None]
    return any(array.dtype.kind == "f" and bool((np.abs(array) > 65504).any()) for array in held)
