"""Quantizers: modules that round a tensor to a grid which is learned or observed while the network trains."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format
from intaglio.train.estimators import Estimator, straight_through
from intaglio.train.grid import grid_of, middle, positive_steps, shares, spread


class Quantizer(nn.Module, ABC):
    """`scale * (clamp(round(x / scale) + z, qmin, qmax) - z)` with a grid of its own.

    Args:
        format: type, scheme and granularity of the integers.
        shape: of the parameters: `granularity.param_shape(shape of the tensor)`.
        ties_up: round ties up, as requantization does; to even where inputs and weights are quantized.
        estimator: the gradient of rounding.
    """

    begun: Tensor

    def __init__(
        self,
        format: Format,
        shape: tuple[int, ...],
        *,
        ties_up: bool = False,
        estimator: Estimator = straight_through,
    ) -> None:
        super().__init__()
        self.format, self.shape, self.ties_up, self.estimator = format, shape, ties_up, estimator
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    @abstractmethod
    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point for a tensor, in the parameters' shape; the zero point holds whole numbers."""

    @abstractmethod
    def begin(self, x: Tensor) -> None:
        """Find a first grid for a tensor."""

    @abstractmethod
    def begin_at(self, params: QuantParams) -> None:
        """Begin with a grid that calibration found."""

    def forward(self, x: Tensor) -> Tensor:
        """Rounded x; in training the first tensor also begins the grid where calibration did not."""
        if self.training and not bool(self.begun):
            with torch.no_grad():
                self.begin(x.detach())
                self.begun.fill_(True)
        scale, zero_point = (spread(p, self.format.granularity, x.shape) for p in self.grid(x))
        kind = self.format.type
        steps = (x / scale).clamp(kind.qmin - zero_point, kind.qmax - zero_point)
        return self.estimator(steps, ties_up=self.ties_up) * scale

    def scale_now(self) -> Tensor:
        """The scale as it is, without a gradient."""
        with torch.no_grad():
            return self.grid(torch.zeros(()))[0]

    def params(self) -> QuantParams:
        """The grid as it is now, for a Plan.

        Raises:
            UsageError: the scale has collapsed (see `QuantParams`).
        """
        with torch.no_grad():
            scale, zero_point = self.grid(torch.zeros(()))
        as_codes = np.rint(zero_point.double().cpu().numpy()).astype(np.int32)
        return QuantParams(self.format.type, scale.float().cpu().numpy(), as_codes, self.format.granularity)


class Lsq(Quantizer):
    """Learned step size: the scale is a parameter; LSQ+ learns the zero point too.

        ds = sum over elements of dL/dy * (round(x / s) - x / s inside the range, the bound outside) / sqrt(N Qp)

    Begins at 2 mean|x| / sqrt(Qp) (weights), or at the extremes (asymmetric activations). Of a power-of-two scheme the
    scale is rounded up to a power of two in the forward pass, and its logarithm is learned.

    Source: Esser et al. 2020, arXiv:1902.08153, eq. (3) and section 2.2; Bhalgat et al. 2020, arXiv:2004.09576 (LSQ+).
    """

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.log_scale = format.scheme is Scheme.POWER_OF_TWO
        self.scale = nn.Parameter(torch.zeros(shape) if self.log_scale else torch.ones(shape))
        self.zero_point = nn.Parameter(
            torch.full(shape, float(middle(format.type))), requires_grad=format.scheme is Scheme.ASYMMETRIC
        )

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Quantizer.grid`."""
        kind = self.format.type
        gradient = 1.0 / math.sqrt(max(x.numel() // max(self.scale.numel(), 1), 1) * positive_steps(kind))
        scale, zero_point = _slowed(self.scale, gradient), _slowed(self.zero_point, gradient)
        zero_point = straight_through(zero_point).clamp(kind.qmin, kind.qmax)
        if self.log_scale:
            return torch.exp2(scale + (scale.ceil() - scale).detach()), zero_point
        return scale.abs(), zero_point

    def begin(self, x: Tensor) -> None:
        """See `Quantizer.begin`."""
        kind, parts = self.format.type, shares(x, self.format.granularity)
        if self.format.scheme is Scheme.ASYMMETRIC:
            scale, zero_point = grid_of(parts.amin(-1), parts.amax(-1), kind, self.format.scheme)
            self.zero_point.copy_(zero_point)
        else:
            scale = 2 * parts.abs().mean(-1) / math.sqrt(positive_steps(kind))
        self._set(scale)

    def begin_at(self, params: QuantParams) -> None:
        """See `Quantizer.begin_at`."""
        with torch.no_grad():
            self._set(torch.as_tensor(params.scale.copy()))
            self.zero_point.copy_(torch.as_tensor(params.zero_point.copy(), dtype=torch.float32))
            self.begun.fill_(True)

    def _set(self, scale: Tensor) -> None:
        scale = scale.clamp(min=1e-30)
        self.scale.copy_(scale.log2() if self.log_scale else scale)


class Range(Quantizer):
    """The extremes of a weight as it is at each step.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.1.
    """

    low: Tensor
    high: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("high", torch.zeros(shape))

    def observe(self, low: Tensor, high: Tensor) -> None:
        """Take note of the extremes of a tensor."""
        self.low.copy_(low)
        self.high.copy_(high)

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Quantizer.grid`."""
        if x.ndim:
            with torch.no_grad():
                parts = shares(x.detach(), self.format.granularity)
                self.observe(parts.amin(-1), parts.amax(-1))
        return grid_of(self.low, self.high, self.format.type, self.format.scheme)

    def begin(self, x: Tensor) -> None:
        """See `Quantizer.begin`."""
        parts = shares(x, self.format.granularity)
        self.low.copy_(parts.amin(-1))
        self.high.copy_(parts.amax(-1))

    def begin_at(self, params: QuantParams) -> None:
        """See `Quantizer.begin_at`."""
        low, high = params.range
        self.low.copy_(torch.as_tensor(low.copy()))
        self.high.copy_(torch.as_tensor(high.copy()))
        self.begun.fill_(True)


class MovingRange(Range):
    """A moving average of the extremes of an activation.

        low <- low + momentum * (min x - low)

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.1.
    """

    def __init__(self, format: Format, shape: tuple[int, ...], *, momentum: float = 0.01, **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.momentum, self.observes = momentum, True

    def observe(self, low: Tensor, high: Tensor) -> None:
        """See `Range.observe`."""
        if self.training and self.observes:
            self.low.lerp_(low, self.momentum)
            self.high.lerp_(high, self.momentum)


def _slowed(x: Tensor, factor: float) -> Tensor:
    """x, its gradient times a factor."""
    return (x - x * factor).detach() + x * factor
