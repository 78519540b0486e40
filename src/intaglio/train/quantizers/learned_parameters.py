"""Parameters of grids in PyTorch: ranges to scale and zero point, and parameters spread over the shape of a tensor.

The torch twin of `number.choose_params`, differentiable where mathematics is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from intaglio.number import Granularity, IntType, PerChannel, PerGroup, PerTensor, Scheme
from intaglio.number.params import SMALLEST_SCALE


def spread(parameter: Tensor, granularity: Granularity, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Parameters in a shape that broadcasts against a tensor.

    Args:
        parameter: shape `granularity.param_shape(shape)`.
        granularity: which elements share one.
        shape: of the tensor.
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
    """The elements that have one parameter, along a last axis behind the parameters' shape.

    A short last group is filled with its own last element.
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
    """Scale and zero point for ranges, as `number.choose_params` chooses them.

    Args:
        low, high: the ranges.
        kind: the integers' type.
        scheme: how a range becomes parameters.
    Returns:
        (scale, zero_point), both of the ranges' shape and type; the zero point holds whole numbers.
    """
    if scheme is Scheme.ASYMMETRIC:
        low, high = low.clamp(max=0), high.clamp(min=0)
        scale = positive((high - low) / (kind.qmax - kind.qmin))
        zero_point = (kind.qmin - low / scale).round().clamp(kind.qmin, kind.qmax)
        return scale, zero_point.detach()
    bound = torch.maximum(low.abs(), high.abs())
    # No bipolar code stands for 0, so a range of zeros gets the smallest scale, not any.
    scale = bound.clamp(min=SMALLEST_SCALE) if kind.bipolar else positive(bound / positive_steps(kind))
    if scheme is Scheme.POWER_OF_TWO:
        scale = torch.exp2(scale.log2().ceil())
    return scale, torch.full_like(scale, middle(kind))


def positive(scale: Tensor) -> Tensor:
    """Scales that can be divided by. All are exact for a range of zeros, which gets the largest of its tensor, or 1.

    So the bias of a dead channel lies on a grid as fine as that of others, and the channel can come back.
    """
    largest = scale.detach().amax()
    return torch.where(scale == 0, torch.where(largest == 0, 1.0, largest), scale).clamp(min=SMALLEST_SCALE)


def first_scale(x: Tensor, kind: IntType, scheme: Scheme, granularity: Granularity) -> tuple[Tensor, Tensor]:
    """Scale and zero point that a learned grid begins with.

    Of up to 4 bits those with the least squared error among parts of the range; of more the range itself. A
    power-of-two scheme gets the scale before it is rounded up. Bipolar: mean |x|, which has the least error.

    Args:
        x: a tensor; of large ones that share one grid a part is looked at.
        kind, scheme, granularity: of the grid.
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


_ENOUGH = 1 << 16  # elements that tell where a grid should begin


def power_of_two(scale: Tensor, scheme: Scheme) -> Tensor:
    """The nearest power of two on a logarithmic scale where the scheme asks for one, with the gradient of the scale."""
    if scheme is not Scheme.POWER_OF_TWO:
        return scale
    with torch.no_grad():
        power = torch.exp2(scale.log2().round())
    gradient = scale * (power / scale).detach()
    return power + (gradient - gradient.detach())


def slowed(x: Tensor, factor: float | Tensor) -> Tensor:
    """x, its gradient times a factor."""
    slow = x * factor
    return x.detach() + (slow - slow.detach())


def at_least(x: Tensor, bound: Tensor | float) -> Tensor:
    """x, or the bound where x is below; the gradient passes there too, so that x can come back."""
    return x.clamp(min=bound).detach() + (x - x.detach())


def positive_steps(kind: IntType) -> int:
    """Codes above the zero point of a symmetric grid."""
    if kind.signed:
        return max(kind.qmax, 1)
    return (kind.qmax - 1) // 2 if kind.bits > 1 else 1


def middle(kind: IntType) -> int:
    """The zero point of a symmetric grid: 0, or the middle code of an unsigned type."""
    return 0 if kind.signed else 1 << (kind.bits - 1)
