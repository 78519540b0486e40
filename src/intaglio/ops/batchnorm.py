"""Batch normalization that nothing before or after it could take.   y[c] = (x[c] - mean[c]) * gain[c] + b[c]"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant
from intaglio.number import INT8, INT16, Rule
from intaglio.ops.contract import Contract, Role
from intaglio.ops.layout import as_pixels, from_pixels
from intaglio.ops.operator import FloatOperator, Lowering
from intaglio.ops.products import product_bound
from intaglio.program.operators.conv2d import Conv2d


class BatchNormalization(FloatOperator):
    """ONNX BatchNormalization at inference, its statistics constant."""

    op_types = ("BatchNormalization",)

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
        if any(constant(v) is None for v in node.inputs[1:]) or attribute(node, "training_mode", 0):
            raise UnsupportedOperatorError(
                f"[BatchNormalization {node.name!r}] expected constant statistics, got training mode or computed ones; "
                "export the model with module.eval()"
            )
        return Contract((Role.ACTIVATION, *(Role.OFFLINE,) * 4), fuses_clamp=True)

    @classmethod
    def affine(cls, node: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(gain, offset), float64, (C,): y = gain * x + offset."""
        scale, bias, mean, variance = (np.asarray(constant(v), np.float64) for v in node.inputs[1:5])
        gain = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        return gain, bias - mean * gain

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One depthwise 1x1 `conv2d`: a channel's multiplier holds its gain, the weight little more than the sign."""
        x = as_pixels(node, to)
        result = to.result(node)
        gain, offset = (a / float(result.params.scale) for a in cls.affine(node))
        shift = to.rule is Rule.SHIFT
        weight, factor = _weights(gain * float(x.quant.scale), offset, power_of_two=shift)
        bias = np.rint(offset / factor).astype(np.int64)
        kind = INT16 if shift else INT8
        operator = Conv2d(
            weight=weight.reshape(-1, 1, 1, 1).astype(kind.dtype),
            weight_zero_point=np.zeros((), np.int32),
            bias=bias,
            x_zero_point=int(x.quant.zero_point),
            y_zero_point=int(result.params.zero_point),
            requantize=to.requantizer(node, factor, product_bound(weight.reshape(-1, 1), x.quant, bias)),
            low=result.low,
            high=result.high,
            out=result.params.type,
            weight_type=kind,
            groups=len(weight),
        )
        from_pixels(node, to, operator, x)


def _weights(
    steps: NDArray[np.float64], offset: NDArray[np.float64], *, power_of_two: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Integer weights and real factors with `weight * factor` close to `steps`, and `offset / factor` below 2**29.

    A free factor takes all of the gain and leaves 127 or -127, so that the bias has as fine a grid as can be. A factor
    that is a power of two leaves 15 bits to the weight.

    Args:
        steps: output steps per input step, (C,).
        offset: in output steps, (C,).
        power_of_two: whether the factors have to be.
    """
    top = 32767 if power_of_two else 127
    smallest = math.ldexp(1.0, -24)  # of channels that are all but dead
    factor = np.maximum(np.maximum(np.abs(steps) / top, np.abs(offset) * math.ldexp(1.0, -29)), smallest)
    if power_of_two:
        factor = np.exp2(np.ceil(np.log2(factor)))
    return np.rint(steps / factor).astype(np.int64), factor
