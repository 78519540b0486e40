"""Clamps: activations that are the saturation of the operator before them wherever there is one."""

from __future__ import annotations

import math

import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import constant, input_value
from intaglio.number import QuantParams, Rule
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering, Result
from intaglio.ops.operands import constant_operand
from intaglio.ops.unary import unary_operator
from intaglio.program import Operator
from intaglio.program.operators.requantize import Requantize as IntegerRequantize


def clamp_bounds(node: ir.Node) -> tuple[float, float]:
    """Real bounds of a Relu or Clip node, low <= high: where they cross, ONNX lets the upper one win everywhere.

    Raises:
        UnsupportedOperatorError: a bound is computed.
    """
    if node.op_type == "Relu":
        return 0.0, math.inf
    low, high = (
        default if input_value(node, index) is None else float(constant_operand(node, index).reshape(-1)[0])
        for index, default in ((1, -math.inf), (2, math.inf))
    )
    return min(low, high), high


class Clamp(FloatOperator):
    """ONNX Relu and Clip; integers need constant bounds."""

    op_types = ("Clip", "Relu")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Elementwise: min(max(x, low), high)."""
        x, *computed = inputs
        assert x is not None
        if node.op_type == "Relu":
            return torch.relu(x)
        if any(v is not None and constant(v) is None for v in node.inputs[1:]):
            least, most = (*computed, None)[:2]
            x = x if least is None else torch.maximum(x, least)
            return x if most is None else torch.minimum(x, most)
        low, high = clamp_bounds(node)
        # The same numbers; the backward pass of hardtanh is one pass over memory where clamp's takes four.
        return F.hardtanh(x, low, high) if -math.inf < low < high < math.inf else torch.clamp(x, low, high)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Fused as a clamp; alone, a requantization onto the clamped range."""
        return Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE), clamp=clamp_bounds(node))

    @classmethod
    def unary(cls, node: ir.Node, x: QuantParams, result: Result, rule: Rule) -> Operator:
        """A requantization onto the clamped range."""
        return IntegerRequantize.from_real(x, result.params, rule=rule, low=result.low, high=result.high)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """Only where nothing before it could take it."""
        x, result = to.operand(node.inputs[0]), to.result(node)
        operator = unary_operator(node, x.quant, result, to.rule)
        assert operator is not None
        to.emit(node, operator, [x], result.value, x.axes)
