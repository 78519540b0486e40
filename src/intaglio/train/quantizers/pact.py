"""Parameterized clipping activation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format
from intaglio.train.quantizers.learned import Learned
from intaglio.train.quantizers.learned_parameters import first_scale, middle, power_of_two

_INSIDE = 1 - 2.0**-20  # a clipped value is rounded to the last code, and lies inside the range of float32's quotient


class Pact(Learned):
    """The bound at which an activation is clipped is learned, with a penalty that keeps it small.

        y = round(clip(x, 0, alpha) / s) s,  s = alpha / (2^k - 1)        dL/dalpha = sum of dL/dy where x >= alpha

    Of data below 0 (told by what is seen first, or by the calibrated grid) the lower bound is -alpha, or what the zero
    point makes of it, and -dL/dy is summed there. `penalty()` is decay * alpha^2, to be added to the loss. It begins at
    the grid that fits the first data; the paper at a large alpha that its penalty brings down over a whole training.

    Args:
        decay: of the penalty; the paper takes the weight decay of the weights.
    Source: Choi et al. 2018, arXiv:1805.06085, eq. (1) to (3) and section 3.
    """

    zero_point: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], *, decay: float = 2e-4, **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.decay = decay
        self.alpha = nn.Parameter(torch.ones(shape))  # in parts of what it began with
        self.register_buffer("zero_point", torch.full(shape, float(middle(format.type))))

    @property
    def learned(self) -> Tensor:
        """See `Learned.learned`."""
        return self.alpha

    def steps(self) -> Tensor:
        """Steps from 0 to alpha; to the lower bound where no code stands for more than 0."""
        kind = self.format.type
        above = kind.qmax - self.zero_point
        return torch.where(above > 0, above, self.zero_point - kind.qmin)

    def shaped(self, x: Tensor) -> Tensor:
        """Clipped x, with PACT's gradient of alpha."""
        kind, step = self.format.type, self._scale() * _INSIDE
        low, high = kind.qmin - self.zero_point, kind.qmax - self.zero_point
        return torch.clamp(x, (low * step).to(x.dtype), (high * step).to(x.dtype))

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Quantizer.grid`; without a gradient, which `shaped` has."""
        return self._scale().detach(), self.zero_point

    def _scale(self) -> Tensor:
        return power_of_two(self.kept() / self.steps(), self.format.scheme)

    def penalty(self) -> Tensor:
        """See `Quantizer.penalty`."""
        return self.decay * (self.kept() / self.magnitude).square().sum()

    def begin(self, x: Tensor) -> None:
        """See `Quantizer.begin`."""
        kind, granularity = self.format.type, self.format.granularity
        scale, zero_point = first_scale(x, kind, self.format.scheme, granularity)
        if self.format.scheme is Scheme.ASYMMETRIC and bool(x.min() < 0):
            scale, _ = first_scale(x, kind, Scheme.SYMMETRIC, granularity)
            zero_point = torch.full_like(zero_point, kind.qmin + (1 << (kind.bits - 1)))
        self._set(scale, zero_point)

    def begin_at(self, params: QuantParams) -> None:
        """See `Quantizer.begin_at`."""
        zero_point = torch.as_tensor(params.zero_point.copy(), dtype=torch.float32)
        self._set(torch.as_tensor(params.scale.copy()), zero_point)
        self.mark_begun()

    def _set(self, scale: Tensor, zero_point: Tensor) -> None:
        self.zero_point.copy_(zero_point)
        self.begin_with(scale * self.steps())
