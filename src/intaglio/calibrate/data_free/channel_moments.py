"""Mean and spread of each channel of a value, and their correction by what batch norm recorded."""

from __future__ import annotations

import torch
from torch import Tensor

from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.graph.moments import Moments


def channel_axis(x: Tensor, channels: int) -> int | None:
    """Find the axis of a value's channels: 1, or else the last one; None where neither is of this size."""
    for axis in (1, x.ndim - 1):
        if 0 < axis < x.ndim and x.shape[axis] == channels:
            return axis
    return None


def channel_moments(x: ClippedGaussian, channels: int) -> Moments | None:
    """Compute mean and standard deviation of each channel over its positions; None without an axis of that size."""
    mean, std = x.moments()
    axis = channel_axis(mean, channels)
    if axis is None:
        return None
    rest = [k for k in range(mean.ndim) if k != axis]
    between = mean.var(rest, unbiased=False)
    return Moments(mean.mean(rest).numpy(), (std.square().mean(rest) + between).sqrt().numpy())


def corrected(predicted: ClippedGaussian, recorded: Moments) -> ClippedGaussian:
    """Shift and scale a prediction, channel by channel, to the recorded moments.

    Differences of the mean between positions (at padded borders) stay as predicted.
    """
    axis = channel_axis(predicted.mean, len(recorded.mean))
    if axis is None:
        return predicted
    rest = [k for k in range(predicted.mean.ndim) if k != axis]
    size = [1] * predicted.mean.ndim
    size[axis] = -1
    wanted = torch.as_tensor(recorded.mean).reshape(size)
    std = torch.as_tensor(recorded.std).reshape(size)
    mean = predicted.mean.mean(rest, keepdim=True) if rest else predicted.mean
    between = (predicted.mean - mean).square().mean(rest, keepdim=True) if rest else torch.zeros_like(mean)
    within = predicted.std.square().mean(rest, keepdim=True) if rest else predicted.std.square()
    least = 0.01 * std.square()  # differences between positions alone that exceed this are not believed
    spread = predicted.mean - mean
    spread = torch.where(between > std.square() - least, torch.zeros_like(spread), spread)
    left = torch.where(between > std.square() - least, std.square(), std.square() - between)
    flat = torch.where(within > 0, predicted.std * (left / within.clamp_min(1e-300)).sqrt(), left.sqrt())
    return ClippedGaussian.uncut(
        wanted + torch.where(std.isnan(), predicted.mean - mean, spread), torch.where(std.isnan(), predicted.std, flat)
    )
