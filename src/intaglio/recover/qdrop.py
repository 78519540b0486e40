"""QDrop: while weights are learned, leave each element of an activation unquantized with some probability.

The learned rounding then depends less on the activation errors of the calibration samples, and generalizes better.

Source: Wei et al. 2022, arXiv:2203.05740, section 4.2 (QDrop).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from intaglio.simulate.fake_quantize import FakeQuantize


def mixed(quantized: Tensor, real: Tensor, drop: float, generator: torch.Generator) -> Tensor:
    """Take each element from the real network with probability `drop`, otherwise from the quantized one."""
    if drop == 0:
        return quantized
    return torch.where(_mask(real, drop, generator), real, quantized)


def _mask(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Draw a boolean mask in x's shape that is true with probability `share`."""
    drawn = torch.empty(x.shape, dtype=torch.uint8).random_(0, 256, generator=generator)
    return (drawn < round(256 * share)).to(x.device)


def dropped(quantizer: FakeQuantize, drop: float, generator: torch.Generator, x: Tensor) -> Tensor:
    """Quantize x except for dropped elements; gradients pass inside the range and at dropped elements."""
    if drop == 0:
        return _Straight.apply(x, quantizer, None)  # type: ignore[no-any-return,no-untyped-call]
    return _Straight.apply(x, quantizer, _mask(x, drop, generator))  # type: ignore[no-any-return,no-untyped-call]


class _Straight(torch.autograd.Function):
    """`FakeQuantize` except for dropped elements, with straight-through gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantizer: FakeQuantize, dropped: Tensor | None) -> Tensor:
        y = quantizer(x.detach())
        passes = (x - y).abs() <= quantizer.scale  # a larger difference means clipping
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
