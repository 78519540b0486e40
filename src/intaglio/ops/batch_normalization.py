"""Batch normalization that nothing before or after it could take.   y[c] = (x[c] - mean[c]) * gain[c] + b[c]"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph.access import attribute, constant
from intaglio.ops.affine import lower_affine
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.operands import require_one_of


class BatchNormalization(FloatOperator):
    """ONNX BatchNormalization at inference, its statistics constant."""

    op_types = ("BatchNormalization",)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Inference."""
        require_one_of(node, "training_mode", (0,), 0)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """x (N, C, ...); scale, bias, mean, variance (C,)."""
        x, gain, bias, mean, variance = inputs
        assert x is not None and gain is not None and bias is not None and mean is not None and variance is not None
        size = (-1,) + (1,) * (x.ndim - 2)
        gain = gain / torch.sqrt(variance + attribute(node, "epsilon", 1e-5))
        return (x - mean.reshape(size)) * gain.reshape(size) + bias.reshape(size)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """The gain goes into a multiplier per channel, so it needs no format of its own."""
        return Contract((Role.ACTIVATION, *(Role.OFFLINE,) * 4), fuses_clamp=True, fuses_sign=True, learns=(1, 2))

    @classmethod
    def affine(cls, node: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(gain, offset), float64, (C,): y = gain * x + offset."""
        scale, bias, mean, variance = (np.asarray(constant(v), np.float64) for v in node.inputs[1:5])
        gain = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        return gain, bias - mean * gain

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One depthwise 1x1 `conv2d`, see `affine`."""
        lower_affine(node, to, 1, *cls.affine(node))
