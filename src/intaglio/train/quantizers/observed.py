"""Quantizers with ranges observed during training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from intaglio.number import QuantParams
from intaglio.plan import Format
from intaglio.train.quantizers.learned_parameters import grid_of, shares
from intaglio.train.quantizers.quantizer import Quantizer


class Range(Quantizer):
    """Range quantizer of weights: minimum and maximum at each step; for bipolar types +-mean |w|.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.1.
    """

    low: Tensor
    high: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("high", torch.zeros(shape))

    def observe(self, low: Tensor, high: Tensor) -> None:
        """Store the extremes of a tensor."""
        self.low.copy_(low)
        self.high.copy_(high)

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        if x.ndim:
            with torch.no_grad():
                self.observe(*self._extremes(x))
        return grid_of(self.low, self.high, self.format.type, self.format.scheme)

    def begin(self, x: Tensor) -> None:
        """Initialize from the first tensor."""
        low, high = self._extremes(x)
        self.low.copy_(low)
        self.high.copy_(high)

    def _extremes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = shares(x, self.format.granularity)
        if self.format.type.bipolar:
            size = parts.abs().mean(-1)
            return -size, size
        return parts.amin(-1), parts.amax(-1)

    def begin_at(self, params: QuantParams) -> None:
        """Initialize from calibrated parameters."""
        low, high = params.range
        self.low.copy_(torch.as_tensor(low.copy()))
        self.high.copy_(torch.as_tensor(high.copy()))
        self.mark_begun()


class MovingRange(Range):
    """Range quantizer of activations: moving average of the extremes.

        low <- low + momentum * (min x - low)

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.1.
    """

    def __init__(self, format: Format, shape: tuple[int, ...], *, momentum: float = 0.01, **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.momentum, self.observes = momentum, True

    def observe(self, low: Tensor, high: Tensor) -> None:
        """Update the moving averages in training, unless frozen."""
        if self.training and self.observes:
            self.low.lerp_(low.to(self.low.dtype), self.momentum)
            self.high.lerp_(high.to(self.high.dtype), self.momentum)
