"""Clamps: activations that are the saturation of the operator before them wherever there is one."""

from __future__ import annotations

import math

import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import constant
from intaglio.ops.contract import Contract, Role
from intaglio.ops.operator import FloatOperator, Lowering
from intaglio.program.operators.requantize import Requantize as IntegerRequantize


def clamp_bounds(node: ir.Node) -> tuple[float, float]:
    """Real bounds of a Relu or Clip node."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    bounds = [constant(v) if v is not None else None for v in (*node.inputs[1:], None, None)][:2]
    low, high = (default if b is None else float(b) for b, default in zip(bounds, (-math.inf, math.inf), strict=True))
    return low, high


class Clamp(FloatOperator):
    """ONNX Relu, and Clip between constants."""

    op_types = ("Clip", "Relu")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Elementwise."""
        x = inputs[0]
        assert x is not None
        if node.op_type == "Relu":
            return torch.relu(x)
        low, high = clamp_bounds(node)
        # The same numbers; the backward pass of hardtanh is one pass over memory where clamp's takes four.
        return F.hardtanh(x, low, high) if -math.inf < low < high < math.inf else torch.clamp(x, low, high)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Fused as a clamp; alone, a requantization onto the clamped range."""
        return Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE), clamp=clamp_bounds(node))

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """Only where nothing before it could take it."""
        x = to.operand(node.inputs[0])
        result = to.result(node)
        to.emit(
            node,
            IntegerRequantize.from_real(x.quant, result.params, rule=to.rule, low=result.low, high=result.high),
            [x],
            result.value,
            x.axes,
        )
