"""Quantization parameters in PyTorch: from ranges to scale and zero point, and broadcasting to a tensor's shape.

The differentiable PyTorch version of `number.choose_params`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from intaglio.number import Granularity, IntType, PerChannel, PerGroup, PerTensor, Scheme
from intaglio.number.params import SMALLEST_SCALE


def spread(parameter: Tensor, granularity: Granularity, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Reshape parameters to broadcast against a tensor.

    Args:
        parameter: parameters of shape `granularity.param_shape(shape)`.
        granularity: which elements share a parameter.
        shape: shape of the tensor.
    """
    match granularity:
        case PerTensor():
            return parameter
        case PerChannel(axis):
            return parameter.reshape([-1 if k == axis % len(shape) else 1 for k in range(len(shape))])
        case PerGroup(axis=axis, size=size):
            return parameter.repeat_interleave(size, dim=axis).narrow(axis, 0, shape[axis])
    raise AssertionError(granularity)


def shares(x: Tensor, granularity: Granularity) -> Tensor:
    """Rearrange a tensor to the parameters' shape plus a last axis of the elements that share a parameter.

    A short last group is padded with its last element.
    """
    match granularity:
        case PerTensor():
            return x.reshape(-1)
        case PerChannel(axis):
            return x.movedim(axis, 0).flatten(1)
        case PerGroup(axis=axis, size=size):
            groups = -(-x.shape[axis] // size)
            index = torch.arange(groups * size, device=x.device).clamp(max=x.shape[axis] - 1)
            full: Tensor = x.movedim(axis, -1)[..., index].unflatten(-1, (groups, size))
            return full.movedim(-2, axis)
    raise AssertionError(granularity)


def grid_of(low: Tensor, high: Tensor, kind: IntType, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Compute scale and zero point of ranges, as `number.choose_params` does.

    Args:
        low, high: the ranges.
        kind: integer type.
        scheme: symmetric, asymmetric or power of two.
    Returns:
        (scale, zero_point) in shape and dtype of the ranges; the zero point has integer values.
    """
    if scheme is Scheme.ASYMMETRIC:
        low, high = low.clamp(max=0), high.clamp(min=0)
        scale = positive((high - low) / (kind.qmax - kind.qmin))
        zero_point = (kind.qmin - low / scale).round().clamp(kind.qmin, kind.qmax)
        return scale, zero_point.detach()
    bound = torch.maximum(low.abs(), high.abs())
    # Bipolar types have no code for 0, so a range of zeros needs the smallest scale.
    scale = bound.clamp(min=SMALLEST_SCALE) if kind.bipolar else positive(bound / positive_steps(kind))
    if scheme is Scheme.POWER_OF_TWO:
        scale = torch.exp2(scale.log2().ceil())
    return scale, torch.full_like(scale, middle(kind))


def positive(scale: Tensor) -> Tensor:
    """Replace scales of 0, which are those of all-zero ranges, by the tensor's largest scale, or by 1.

    Any scale is exact for zeros. With this one a dead channel's bias is rounded like others, and the channel can
    recover.
    """
    largest = scale.detach().amax()
    return torch.where(scale == 0, torch.where(largest == 0, 1.0, largest), scale).clamp(min=SMALLEST_SCALE)


def first_scale(x: Tensor, kind: IntType, scheme: Scheme, granularity: Granularity) -> tuple[Tensor, Tensor]:
    """Compute the initial scale and zero point of a learned quantizer.

    Up to 4 bits: those with the least squared error among fractions of the range; above: the full range. Power of two:
    the scale before it is rounded up. Bipolar: mean |x|, which has the least squared error.

    Args:
        x: the tensor; of a large tensor with one scale, a subset is used.
        kind, scheme, granularity: format of the quantizer.
    """
    parts = shares(x.float(), granularity)
    if parts.ndim == 1 and parts.numel() > _ENOUGH:
        parts = parts[:: parts.numel() // _ENOUGH]
    if kind.bipolar:
        scale = parts.abs().mean(-1).clamp(min=SMALLEST_SCALE)
        return scale, torch.zeros_like(scale)
    scheme = Scheme.SYMMETRIC if scheme is Scheme.POWER_OF_TWO else scheme
    low, high = parts.amin(-1), parts.amax(-1)
    best = grid_of(low, high, kind, scheme)
    if kind.bits > 4:
        return best
    least = torch.full_like(low, math.inf)
    for part in torch.linspace(1, 1 / 32, 48).tolist():
        scale, zero_point = grid_of(low * part, high * part, kind, scheme)
        step, middle = scale.unsqueeze(-1), zero_point.unsqueeze(-1)
        rounded = (parts / step).round_().clamp_(kind.qmin - middle, kind.qmax - middle).mul_(step)
        error = (rounded - parts).square_().sum(-1)
        better = error < least
        least = torch.where(better, error, least)
        best = torch.where(better, scale, best[0]), torch.where(better, zero_point, best[1])
    return best


_ENOUGH = 1 << 16  # elements used by `first_scale`


def power_of_two(scale: Tensor, scheme: Scheme) -> Tensor:
    """Round to the nearest power of two (in log2) if the scheme asks for it, with the gradient of the scale."""
    if scheme is not Scheme.POWER_OF_TWO:
        return scale
    with torch.no_grad():
        power = torch.exp2(scale.log2().round())
    gradient = scale * (power / scale).detach()
    return power + (gradient - gradient.detach())


def slowed(x: Tensor, factor: float | Tensor) -> Tensor:
    """Return x, with its gradient multiplied by a factor."""
    slow = x * factor
    return x.detach() + (slow - slow.detach())


def at_least(x: Tensor, bound: Tensor | float) -> Tensor:
    """Return max(x, bound), with gradient 1 also below the bound, so that x can recover."""
    return x.clamp(min=bound).detach() + (x - x.detach())


def positive_steps(kind: IntType) -> int:
    """Return the number of codes above the zero point of a symmetric format."""
    if kind.signed:
        return max(kind.qmax, 1)
    return (kind.qmax - 1) // 2 if kind.bits > 1 else 1


def middle(kind: IntType) -> int:
    """Return the zero point of a symmetric format: 0, or the middle code of an unsigned type."""
    return 0 if kind.signed else 1 << (kind.bits - 1)
