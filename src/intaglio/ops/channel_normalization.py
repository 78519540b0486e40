"""Normalization of each channel, or of groups of channels, of every sample over all of its space.

y[c] = (x[c] - mean) / sqrt(variance + epsilon) * gain[c] + bias[c]
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph.access import attribute, rank, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.operands import constant_operand
from intaglio.program.operators.layer_norm import LayerNorm


class ChannelNormalization(FloatOperator):
    """ONNX InstanceNormalization and GroupNormalization with constant gain and bias, one number for each channel."""

    op_types = ("GroupNormalization", "InstanceNormalization")

    @classmethod
    def groups(cls, node: ir.Node) -> int:
        """How many groups of channels are normalized apart: all of them under InstanceNormalization."""
        channels = shape(node.inputs[0])[1]
        return int(attribute(node, "num_groups")) if node.op_type == "GroupNormalization" else channels

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """x (N, C, ...); gain and bias (C,)."""
        x, gain, bias = inputs
        assert x is not None
        return F.group_norm(x, cls.groups(node), gain, bias, attribute(node, "epsilon", 1e-5))

    @classmethod
    def parameter(cls, node: ir.Node, index: int) -> NDArray[np.float64]:
        """Gain (1) or bias (2) of every channel, (C,).

        Raises:
            UnsupportedOperatorError: it is computed.
        """
        return constant_operand(node, index).astype(np.float64)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Gain and bias become integer parameters."""
        for index in (1, 2):
            cls.parameter(node, index)
        return Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE), fuses_clamp=True, learns=(1, 2))

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `layer_norm`, channels last in memory."""
        full = rank(node.inputs[0])
        order = to.operand(node.inputs[0]).axes
        if order[0] != 0 or order[-1] != 1:
            order = (0, *range(2, full), 1)
        x, result = to.operand(node.inputs[0], axes=order), to.result(node)
        operator = LayerNorm.from_real(
            x.quant,
            result.params,
            cls.parameter(node, 1),
            cls.parameter(node, 2),
            epsilon=attribute(node, "epsilon", 1e-5),
            rule=to.rule,
            low=result.low,
            high=result.high,
            inner=x.shape[1:-1],
            groups=cls.groups(node),
        )
        to.emit(node, operator, [x], result.value, order)
