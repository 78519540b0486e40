"""Parameterized clipping activation (PACT)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format
from intaglio.train.quantizers.learned import Learned
from intaglio.train.quantizers.learned_parameters import first_scale, middle, power_of_two

_INSIDE = 1 - 2.0**-20  # keeps clipped values inside the range in float32, where they round to the last code


class Pact(Learned):
    """PACT quantizer: the clipping bound alpha of an activation is learned, with a penalty that keeps it small.

        y = round(clip(x, 0, alpha) / s) s,  s = alpha / (2^k - 1)        dL/dalpha = sum of dL/dy where x >= alpha

    If data are negative too (according to the first data or the calibrated parameters), the lower bound is -alpha, or
    as given by the zero point, and -dL/dy is summed there. `penalty()` is decay * alpha^2, to be added to the loss. The
    initial alpha fits the first data; the paper starts with a large alpha, which the penalty reduces.

    Args:
        decay: factor of the penalty; the paper uses the weight decay.
    Source: Choi et al. 2018, arXiv:1805.06085, eq. (1) to (3) and section 3.
    """

    zero_point: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], *, decay: float = 2e-4, **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.decay = decay
        self.alpha = nn.Parameter(torch.ones(shape))  # relative to its initial value
        self.register_buffer("zero_point", torch.full(shape, float(middle(format.type))))

    @property
    def learned(self) -> Tensor:
        """The clipping bound, relative to its initial value."""
        return self.alpha

    def steps(self) -> Tensor:
        """Return the steps from 0 to alpha; to the lower bound if no code is above 0."""
        kind = self.format.type
        above = kind.qmax - self.zero_point
        return torch.where(above > 0, above, self.zero_point - kind.qmin)

    def shaped(self, x: Tensor) -> Tensor:
        """Clip x, with PACT's gradient of alpha."""
        kind, step = self.format.type, self._scale() * _INSIDE
        low, high = kind.qmin - self.zero_point, kind.qmax - self.zero_point
        return torch.clamp(x, (low * step).to(x.dtype), (high * step).to(x.dtype))

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point without a gradient, which `shaped` provides."""
        return self._scale().detach(), self.zero_point

    def _scale(self) -> Tensor:
        return power_of_two(self.kept() / self.steps(), self.format.scheme)

    def penalty(self) -> Tensor:
        """Return decay * alpha^2, summed."""
        return self.decay * (self.kept() / self.magnitude).square().sum()

    def begin(self, x: Tensor) -> None:
        """Initialize from the first tensor."""
        kind, granularity = self.format.type, self.format.granularity
        scale, zero_point = first_scale(x, kind, self.format.scheme, granularity)
        if self.format.scheme is Scheme.ASYMMETRIC and bool(x.min() < 0):
            scale, _ = first_scale(x, kind, Scheme.SYMMETRIC, granularity)
            zero_point = torch.full_like(zero_point, kind.qmin + (1 << (kind.bits - 1)))
        self._set(scale, zero_point)

    def begin_at(self, params: QuantParams) -> None:
        """Initialize from calibrated parameters."""
        zero_point = torch.as_tensor(params.zero_point.copy(), dtype=torch.float32)
        self._set(torch.as_tensor(params.scale.copy()), zero_point)
        self.mark_begun()

    def _set(self, scale: Tensor, zero_point: Tensor) -> None:
        self.zero_point.copy_(zero_point)
        self.begin_with(scale * self.steps())
