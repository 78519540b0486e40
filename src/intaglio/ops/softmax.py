"""Softmax and its logarithm along one axis.   y = exp(x) / sum exp(x),   y = x - log sum exp(x)"""

from __future__ import annotations

from contextlib import suppress

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import LoweringError
from intaglio.graph.access import attribute, rank
from intaglio.graph.attention_masks import dynamic_mask_of, mask_of
from intaglio.number import QuantParams, Rule
from intaglio.ops.contract import Contract, Fixed, Own, Role
from intaglio.ops.float_operator import FloatOperator, Lowering, Placed
from intaglio.ops.layout import ending_with
from intaglio.ops.masks import mask_rows
from intaglio.program import Operator
from intaglio.program.operators.dynamic_masked_softmax import DynamicMaskedSoftmax
from intaglio.program.operators.log_softmax import LogSoftmax as IntegerLogSoftmax
from intaglio.program.operators.masked_softmax import MaskedSoftmax
from intaglio.program.operators.softmax import Softmax as IntegerSoftmax
from intaglio.program.operators.softmax_tflite import SoftmaxTflite


class Softmax(FloatOperator):
    """ONNX Softmax and LogSoftmax of opset 13 and later: one axis."""

    op_types = ("LogSoftmax", "Softmax")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Along `axis`."""
        x, axis = inputs[0], attribute(node, "axis", -1)
        assert x is not None
        return torch.softmax(x, axis) if node.op_type == "Softmax" else torch.log_softmax(x, axis)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Probabilities lie in [0, 1); how far below 0 their logarithms reach is for calibration to say."""
        return Contract((Role.ACTIVATION,), Fixed(0.0, 1.0) if node.op_type == "Softmax" else Own())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `softmax` or `log_softmax` along the last axis in memory."""
        value = node.inputs[0]
        axis = attribute(node, "axis", -1) % rank(value)
        x = to.operand(value, axes=ending_with(to.operand(value).axes, (axis,)))
        y = to.result(node).params
        source = None if value is None else value.producer()
        mask, computed = mask_of(source), dynamic_mask_of(source)
        if node.op_type == "LogSoftmax":
            operator: Operator = IntegerLogSoftmax.from_real(x.quant, y, rule=to.rule)
        elif mask is not None:
            operator = MaskedSoftmax.from_mask(x.quant, y, mask_rows(mask.transpose(x.axes), x.shape))
        elif computed is not None:
            keep = to.operand(computed, rank=len(x.axes), axes=x.axes)
            to.emit(node, DynamicMaskedSoftmax.from_softmax(x.quant, y), [x, keep], node.outputs[0], x.axes)
            return
        else:
            operator = _softmax(x, y, to.rule)
        to.emit(node, operator, [x], node.outputs[0], x.axes)


def _softmax(x: Placed, y: QuantParams, rule: Rule) -> Operator:
    """TFLite's own where the rule is TFLite's and it is defined: 8 bits, usual scales, not too many elements."""
    if rule is Rule.TFLITE and x.shape[-1] < 4096:
        with suppress(LoweringError):
            return SoftmaxTflite.from_real(x.quant, y)
    return IntegerSoftmax.from_real(x.quant, y)
