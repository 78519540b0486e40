"""Dropped quantization: while something is learned, each element of an activation is left real now and then.

What is learned then depends less on the rounding errors of just these samples, and more on all that there can be.

Source: Wei et al. 2022, arXiv:2203.05740, section 4.2 (QDrop).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from intaglio.simulate.fake_quantize import FakeQuantize


def mixed(quantized: Tensor, real: Tensor, drop: float, generator: torch.Generator) -> Tensor:
    """Each element from one network or the other."""
    if drop == 0:
        return quantized
    return torch.where(_mask(real, drop, generator), real, quantized)


def _mask(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """True with a probability, in x's shape."""
    drawn = torch.empty(x.shape, dtype=torch.uint8).random_(0, 256, generator=generator)
    return (drawn < round(256 * share)).to(x.device)


def dropped(quantizer: FakeQuantize, drop: float, generator: torch.Generator, x: Tensor) -> Tensor:
    """Rounded where it is not dropped; gradients pass through inside the range, and where it is dropped."""
    if drop == 0:
        return _Straight.apply(x, quantizer, None)  # type: ignore[no-any-return,no-untyped-call]
    return _Straight.apply(x, quantizer, _mask(x, drop, generator))  # type: ignore[no-any-return,no-untyped-call]


class _Straight(torch.autograd.Function):
    """`FakeQuantize` of some elements: one pass forward and one backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantizer: FakeQuantize, dropped: Tensor | None) -> Tensor:
        y = quantizer(x.detach())
        passes = (x - y).abs() <= quantizer.scale  # further off only where it is clipped
        if dropped is not None:
            y = torch.where(dropped, x, y)
            passes |= dropped
        ctx.save_for_backward(passes)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (passes,) = ctx.saved_tensors
        return gradient * passes, None, None
