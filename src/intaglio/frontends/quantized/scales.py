"""Multiply quantized weights by a gain per output channel through their scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intaglio.number import PerChannel, PerTensor, QuantParams
from intaglio.number.params import SMALLEST_SCALE


def with_gain(
    params: QuantParams, codes: NDArray[np.int32], gain: NDArray[np.float64], axis: int
) -> tuple[NDArray[np.float32], QuantParams] | None:
    """Multiply the scales of a weight by the magnitude of a gain per output channel.

    A negative gain negates the channel's codes; a gain of 0 sets them to the zero point. All other codes stay.

    Args:
        params: per tensor, or per channel along `axis`.
        codes: the weight's codes.
        gain: float64, (channels,).
        axis: the output channels' axis of the weight.
    Returns:
        The new real weights and parameters; None if the granularity, a negated code or a new scale does not allow it.
    """
    if not isinstance(params.granularity, PerTensor) and params.granularity != PerChannel(axis):
        return None
    size = (-1,) + (1,) * (codes.ndim - 1)
    turned = np.moveaxis(codes, axis, 0)
    zero_point = np.broadcast_to(params.zero_point, gain.shape)
    flipped = gain < 0
    if (
        zero_point[flipped].any()
        or (turned[flipped] < -params.type.qmax).any()
        or (turned[flipped] > -params.type.qmin).any()
    ):
        return None
    turned = np.where(flipped.reshape(size), -turned, turned)
    turned = np.where((gain == 0).reshape(size), zero_point.reshape(size), turned)
    scale = np.broadcast_to(params.scale, gain.shape) * np.where(gain == 0, 1.0, np.abs(gain))
    narrow = scale.astype(np.float32)
    if not (np.isfinite(narrow) & (narrow >= SMALLEST_SCALE)).all():
        return None
    result = QuantParams(params.type, narrow, zero_point, PerChannel(axis))
    return result.dequantize(np.ascontiguousarray(np.moveaxis(turned, 0, axis))), result
