"""The accumulator grid of a product; its bias has the same grid.

For output channel o; gain is alpha / beta of a Gemm, otherwise 1:

    scale[o] = scale_x * scale_w[o] * gain
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph.access import attribute
from intaglio.number import QuantParams


def product_gain(node: ir.Node) -> float:
    """Compute the factor of an operator's products relative to its bias."""
    return float(attribute(node, "alpha", 1.0) / attribute(node, "beta", 1.0)) if node.op_type == "Gemm" else 1.0


def accumulator_scale(
    data: QuantParams, weight_scale: NDArray[Any], channels: int, gain: float = 1.0
) -> NDArray[np.float64]:
    """Compute the accumulator scales of a product.

    Args:
        data: parameters of the product's data input.
        weight_scale: scale of its weight, () or one per channel.
        channels: number of output channels; 1 if the bias is one number.
        gain: see `product_gain`.
    Returns:
        () or (channels,): a grouped ConvTranspose repeats its weight's scales for each group.
    """
    scale = np.asarray(weight_scale.astype(np.float64) * float(data.scale) * gain)
    return np.tile(scale, channels // scale.size) if scale.ndim and channels > scale.size else scale
