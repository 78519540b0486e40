"""Division by the norm along one axis, 0 where the norm is 0.   y = x / sqrt(sum x^2)"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, rank
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import ending_with
from intaglio.ops.operands import require_one_of
from intaglio.program.operators.layer_norm import LayerNorm


class LpNormalization(FloatOperator):
    """ONNX LpNormalization. The norm is computed exactly from the codes, so that its range does not matter."""

    op_types = ("LpNormalization",)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """The root of squares; sums of magnitudes are divisions since the model was loaded."""
        require_one_of(node, "p", (2,), 2)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Along `axis`."""
        x, axis = inputs[0], int(attribute(node, "axis", -1))
        assert x is not None
        norm = torch.linalg.vector_norm(x, 2, axis, keepdim=True)
        return torch.where(norm == 0, torch.zeros_like(x), x / norm)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """The result lies within [-1, 1], and mostly far from both ends."""
        return Contract((Role.ACTIVATION,), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `layer_norm` that takes no mean off: the root of a mean square is the norm divided by sqrt(n)."""
        axis = int(attribute(node, "axis", -1)) % rank(node.inputs[0])
        order = ending_with(to.operand(node.inputs[0]).axes, (axis,))
        x, result = to.operand(node.inputs[0], axes=order), to.result(node)
        n = x.shape[-1]
        operator = LayerNorm.from_real(
            x.quant,
            result.params,
            np.full(n, 1.0 / math.sqrt(n)),
            None,
            epsilon=0.0,
            rule=to.rule,
            low=result.low,
            high=result.high,
            centred=False,
        )
        to.emit(node, operator, [x], result.value, order)
