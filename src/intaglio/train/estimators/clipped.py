"""Clipped straight-through estimator, with gradients for learned scales and zero points.

    t = x / s            y = s * q,  q = clamp(round(t), qmin - z, qmax - z)

    dL/dx = dL/dy inside the range, 0 outside
    dL/ds = sum dL/dy * (q - t) inside, dL/dy * q outside        for -1 and +1: dL/dy * q
    dL/dz = - sum of s * dL/dy outside

On the CPU both passes process pieces that fit in the cache, and only x is saved. On other devices and under
torch.compile it consists of PyTorch operators, which the compiler fuses.

Source: Jacob et al. 2018, arXiv:1712.05877, section 3; Esser et al. 2020, arXiv:1902.08153, eq. (3); Bhalgat et al.
2020, arXiv:2004.09576, eq. (6) and (7); for one bit: Hubara et al. 2016, arXiv:1602.02830, eq. (4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from intaglio.train.estimators.grid import Grid, real, rounded, steps_of

_PIECE = 1 << 16  # elements; a few float32 buffers of this size fit in a core's second-level cache


def clipped(x: Tensor, grid: Grid) -> Tensor:
    """Round x; gradients pass inside the range and stop outside it (see the module's equations)."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        steps, inside = steps_of(x, grid)
        return real(inside, grid.codes(steps), grid, x)
    y: Tensor = _Clipped.apply(x, grid.scale, grid.zero_point, grid)  # type: ignore[no-untyped-call]
    return y


class _Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, grid: Grid) -> Tensor:
        ctx.save_for_backward(x, scale, zero_point)
        ctx.grid = Grid(scale, zero_point, grid.type, grid.ties_up)
        y = torch.empty_like(x)
        step, low, high = _numbers(ctx.grid)
        for part, out in _pieces(_shared(scale, zero_point), x, y):
            torch.mul(rounded(_over(part, step), low, high, grid), step, out=out)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, zero_point = ctx.saved_tensors
        wants_x, wants_scale, wants_zero_point = ctx.needs_input_grad[:3]
        g = gradients[0]
        if g.stride() != x.stride():  # pieces of g and x must contain the same elements
            g = torch.empty_like(x, dtype=g.dtype).copy_(g)
        grid: Grid = ctx.grid
        step, low, high = _numbers(grid)
        by_x = torch.empty_like(x)
        by_scale, by_zero_point = torch.zeros_like(scale), torch.zeros_like(zero_point)
        shared = _shared(scale, zero_point)
        for part, out, given in _pieces(shared, x, by_x, g):
            steps, given = _over(part, step), given.float()
            if shared:
                # hardtanh_backward excludes its bounds, but the range includes them: widen them a little.
                below, above = math.nextafter(low, -math.inf) - 1e-5, math.nextafter(high, math.inf) + 1e-5
                passed = torch.ops.aten.hardtanh_backward(given, steps, below, above)
            else:
                passed = torch.where(steps.clamp(low, high) == steps, given, 0.0)
            if wants_x:
                out.copy_(passed)
            if wants_scale:
                by_scale += _product_sum(rounded(steps, low, high, grid), given, scale)
                if not grid.type.bipolar:
                    by_scale -= _product_sum(steps, passed, scale)
            if wants_zero_point:
                by_zero_point -= _sum(given, step, zero_point) - _sum(passed, step, zero_point)
        return by_x if wants_x else None, by_scale, by_zero_point, None


def _over(x: Tensor, step: Tensor | float) -> Tensor:
    """Return x / step in float32, a new tensor."""
    return x / step if x.dtype == torch.float32 else x.float().div_(step)


def _product_sum(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    if like.ndim == 0:
        return torch.dot(a.reshape(-1), b.reshape(-1))
    return (a * b).sum_to_size(like.shape)


def _sum(x: Tensor, step: Tensor | float, like: Tensor) -> Tensor:
    return x.sum() * step if like.ndim == 0 else (x * step).sum_to_size(like.shape)


def _shared(scale: Tensor, zero_point: Tensor) -> bool:
    """Return whether all elements share one scale and zero point."""
    return scale.ndim == zero_point.ndim == 0


def _numbers(grid: Grid) -> tuple[Any, Any, Any]:
    """Return scale and bounds; as Python numbers, which need no broadcast, if all elements share them."""
    if _shared(grid.scale, grid.zero_point):
        zero_point = float(grid.zero_point)
        return float(grid.scale), grid.type.qmin - zero_point, grid.type.qmax - zero_point
    return grid.scale, grid.low, grid.high


def _pieces(shared: bool, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split tensors of the same shape and layout into pieces; not if scales differ between elements."""
    flat = [_flat(t) for t in tensors] if shared else []
    if not flat or any(t is None for t in flat):
        yield tensors
    else:
        yield from zip(*(t.split(_PIECE * torch.get_num_threads()) for t in flat if t is not None), strict=True)


def _flat(x: Tensor) -> Tensor | None:
    """View a tensor as 1-D in memory order; None if it is not dense."""
    if x.is_contiguous():
        return x.view(-1)
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).view(-1)
    return None
