"""Softmax and its logarithm along one axis.   y = exp(x) / sum exp(x),   y = x - log sum exp(x)"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute
from intaglio.ops.contract import Contract, Fixed, Role
from intaglio.ops.operator import FloatOperator


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
        """Probabilities lie in [0, 1); logarithms below those of 1/2**23 saturate at -16."""
        return Contract((Role.ACTIVATION,), Fixed(0.0, 1.0) if node.op_type == "Softmax" else Fixed(-16.0, 0.0))
