"""Layer normalization over the last axes.   y = (x - mean) / sqrt(variance + epsilon) * gain + bias"""

from __future__ import annotations

import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, rank, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.operator import FloatOperator


class LayerNormalization(FloatOperator):
    """ONNX LayerNormalization with constant gain and bias."""

    op_types = ("LayerNormalization",)

    @classmethod
    def axis(cls, node: ir.Node) -> int:
        """The first normalized axis, not negative."""
        return int(attribute(node, "axis", -1)) % rank(node.inputs[0])

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Gain and bias broadcast to the normalized axes."""
        x, gain, bias = (*inputs, None)[:3]
        assert x is not None and gain is not None
        y = F.layer_norm(x, tuple(x.shape[cls.axis(node) :]), eps=attribute(node, "epsilon", 1e-5)) * gain
        return y if bias is None else y + bias

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Gain and bias become integer parameters.

        Raises:
            UnsupportedOperatorError: they are computed, or mean and deviation are read.
        """
        if any(constant(v) is None for v in node.inputs[1:] if v is not None):
            raise UnsupportedOperatorError(
                f"[LayerNormalization {node.name!r}] expected constant scale and bias, got computed ones"
            )
        if any(v.name and (v.uses() or v.is_graph_output()) for v in node.outputs[1:]):
            raise UnsupportedOperatorError(
                f"[LayerNormalization {node.name!r}] expected one output, got a reader of mean or deviation; "
                "compute these with ReduceMean"
            )
        if any(
            shape(v)[: -(rank(node.inputs[0]) - cls.axis(node))].count(1)
            != max(0, rank(v) - (rank(node.inputs[0]) - cls.axis(node)))
            for v in node.inputs[1:]
            if v is not None
        ):
            raise UnsupportedOperatorError(
                f"[LayerNormalization {node.name!r}] expected scale and bias of the normalized axes, got a shape that "
                "reaches over others"
            )
        return Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE), fuses_clamp=True)
