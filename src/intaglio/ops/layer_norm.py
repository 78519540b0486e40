"""Layer and RMS normalization over the last axes.

y = (x - mean) / sqrt(variance + epsilon) * gain + bias,   y = x / sqrt(mean of x^2 + epsilon) * gain
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, input_value, rank, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import ending_with
from intaglio.ops.operands import constant_operand
from intaglio.program.operators.layer_norm import LayerNorm
from intaglio.program.operators.reshape import Reshape


class LayerNormalization(FloatOperator):
    """ONNX LayerNormalization and RMSNormalization with constant gain and bias."""

    op_types = ("LayerNormalization", "RMSNormalization")

    @classmethod
    def axis(cls, node: ir.Node) -> int:
        """The first normalized axis, not negative."""
        return int(attribute(node, "axis", -1)) % rank(node.inputs[0])

    @classmethod
    def centred(cls, node: ir.Node) -> bool:
        """Whether the mean is taken off."""
        return node.op_type == "LayerNormalization"

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Gain and bias broadcast to the normalized axes."""
        x, gain, bias = (*inputs, None)[:3]
        assert x is not None and gain is not None
        normalize = F.layer_norm if cls.centred(node) else F.rms_norm
        y = normalize(x, tuple(x.shape[cls.axis(node) :]), eps=attribute(node, "epsilon", 1e-5)) * gain
        return y if bias is None else y + bias

    @classmethod
    def parameter(cls, node: ir.Node, index: int) -> NDArray[np.float64] | None:
        """Gain (1) or bias (2) of every normalized element, flat; None where it is left out.

        Raises:
            UnsupportedOperatorError: it is computed, or not the same for everything that is normalized together.
        """
        value, size = input_value(node, index), shape(node.inputs[0])[cls.axis(node) :]
        if value is None:
            return None
        array = constant_operand(node, index)
        if array.size != math.prod(array.shape[-len(size) :]):
            raise UnsupportedOperatorError(
                f"[{node.op_type} {node.name!r}] expected scale and bias of shape {size}, got {array.shape}"
            )
        return np.broadcast_to(array.reshape(array.shape[-len(size) :]), size).reshape(-1).astype(np.float64)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Gain and bias become integer parameters."""
        given = tuple(index for index in (1, 2) if input_value(node, index) is not None)
        for index in given:
            cls.parameter(node, index)
        return Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE), fuses_clamp=True, learns=given)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `layer_norm` over the last axis in memory, to which several are flattened."""
        axis, full = cls.axis(node), rank(node.inputs[0])
        order = ending_with(to.operand(node.inputs[0]).axes, tuple(range(axis, full)))
        x, result = to.operand(node.inputs[0], axes=order), to.result(node)
        gain = cls.parameter(node, 1)
        assert gain is not None
        operator = LayerNorm.from_real(
            x.quant,
            result.params,
            gain,
            cls.parameter(node, 2),
            epsilon=attribute(node, "epsilon", 1e-5),
            rule=to.rule,
            low=result.low,
            high=result.high,
            centred=cls.centred(node),
        )
        if axis == full - 1:
            to.emit(node, operator, [x], result.value, order)
            return
        first = (to.leading(x.shape[0]), *x.shape[1:axis]) if axis else ()
        flat = to.step(node, Reshape(to=(*first, math.prod(x.shape[axis:]))), [x], x.params)
        y = to.step(node, operator, [flat], result.params)
        to.emit(node, Reshape(to=(*first, *x.shape[axis:])), [y], result.value, order)
