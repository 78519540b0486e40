"""Correlations that are assumed, without data, between the values that a layer sums.

Two positions of one channel that are d steps apart (d summed over the axes) have the correlation `neighbours**d`, two
channels of one position `channels`. A sum of products over taps t, s and input channels c, d then has the variance

    var y[o] = aligned**2 * sum over c, d, t, s of w[o, c, t] w[o, d, s] R[c, d, t, s] std x[c] std x[d]
    R = neighbours**|t - s|, times `channels` where c != d

For features `channels` is 0: one channel's value says little of another's. Yet the channels that a layer reads vary
together in the directions that the layer reads, so that its results spread wider than with independent channels:
`aligned`. The effect is largest where positions are averaged away and the layer separates classes: there the factor is
`CLASSES * sqrt(number of channels)`, if that is more. For the same reason a mean over positions keeps a share of their
variance: `COMMON`.

Measured on MobileNetV2 and ResNet-20 (CIFAR-10), see docs/calibration.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, shape

COMMON = 0.2
CLASSES = 0.2


@dataclass(frozen=True)
class Correlation:
    """Correlations assumed of the values that a layer reads.

    Args:
        neighbours: correlation of neighbouring positions, 0 to 1.
        channels: correlation of any two channels, 0 to 1.
        aligned: factor on the standard deviation of a sum over several channels, beyond these correlations.
    """

    neighbours: float
    channels: float = 0.0
    aligned: float = 1.0

    def variance_weights(self, node: ir.Node, weight: Tensor) -> Tensor:
        """Compute weights that map the variances of a layer's input to those of its output.

        A sum's variance is spread evenly over the terms of the sum.

        Args:
            node: a Conv, ConvTranspose, Gemm or MatMul.
            weight: its constant weight, float64.
        Returns:
            The weight's shape.
        """
        inputs = shape(node.inputs[0])
        extra = self.aligned**2
        if math.prod(inputs[2:]) == 1:
            extra = max(extra, CLASSES**2 * inputs[min(1, len(inputs) - 1)])  # a vector has channels only
        if node.op_type != "Conv":
            return weight.square() * extra
        several = weight.shape[1] > 1
        extra = extra if several else 1.0
        together = torch.ones((1, 1), dtype=torch.float64)
        dilations = attribute(node, "dilations", (1,) * (weight.ndim - 2))
        for size, step in zip(weight.shape[2:], dilations, strict=True):
            together = torch.kron(together, along(size, self.neighbours**step))
        taps = weight.flatten(2)
        within = torch.einsum("oct,ts,ocs->oc", taps, together, taps).clamp_min(0)
        if several and self.channels:
            whole = taps.sum(1)
            across = torch.einsum("ot,ts,os->o", whole, together, whole).clamp_min(0)
            mixed = self.channels * across + (1 - self.channels) * within.sum(1)
            within = (mixed / weight.shape[1])[:, None].expand(within.shape)
        shared = extra * within / taps.shape[2]
        return shared.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2)).expand(weight.shape)

    def of_a_mean(self, sizes: Sequence[int]) -> float:
        """Compute the variance of a mean over a window of positions, as a share of that of one position."""
        return COMMON + (1 - COMMON) * math.prod(float(along(size, self.neighbours).mean()) for size in sizes)


def along(size: int, neighbours: float) -> Tensor:
    """Compute the correlations of positions on one axis, (size, size)."""
    position = torch.arange(size, dtype=torch.float64)
    return torch.as_tensor(neighbours, dtype=torch.float64) ** (position[:, None] - position[None]).abs()


FEATURES = Correlation(neighbours=0.5, aligned=1.6)
IMAGE = Correlation(neighbours=0.8, channels=0.9)
"""Of the network's input, where it has positions."""
