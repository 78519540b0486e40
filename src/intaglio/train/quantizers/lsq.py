"""Learned step size quantization (LSQ)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format
from intaglio.train.estimators.grid import rounded_through
from intaglio.train.quantizers.learned import Learned
from intaglio.train.quantizers.learned_parameters import first_scale, middle, positive, positive_steps, shares, slowed


class Lsq(Learned):
    """LSQ quantizer: the scale is a parameter; with asymmetric formats the zero point too (LSQ+).

        dL/ds = sum over elements of dL/dy * (round(x / s) - x / s inside the range, the bound outside) / sqrt(N Qp)

    Initial scale: 2 mean|x| / sqrt(Qp); asymmetric: from the extremes; up to 4 bits: least squared error. With a
    power-of-two scheme the logarithm is learned and rounded up in the forward pass; its gradient is scaled so that a
    step changes the scale by the same percentage as otherwise.

    Source: Esser et al. 2020, arXiv:1902.08153, eq. (3) and section 2.2; Bhalgat et al. 2020, arXiv:2004.09576 (LSQ+).
    """

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, log_scale=format.scheme is Scheme.POWER_OF_TWO, **options)
        self.scale = nn.Parameter(torch.zeros(shape) if self.log_scale else torch.ones(shape))  # see `Learned`
        self.zero_point = nn.Parameter(
            torch.full(shape, float(middle(format.type))), requires_grad=format.scheme is Scheme.ASYMMETRIC
        )

    @property
    def learned(self) -> Tensor:
        """The scale, relative to its initial value."""
        return self.scale

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        kind, balance = self.format.type, self.balance(x)
        zero_point = rounded_through(slowed(self.zero_point, balance)).clamp(kind.qmin, kind.qmax)
        if not self.log_scale:
            return self.kept(balance) * self.unit, zero_point
        exponent = slow_logarithm(self.kept(), self.paced(balance)) + self.unit.log2()
        return torch.exp2(exponent + (exponent.ceil() - exponent).detach()), zero_point

    def balance(self, x: Tensor) -> float:
        """Return 1 / sqrt(N Qp), which keeps steps of the scale in proportion to those of weights."""
        kind = self.format.type
        positive = kind.qmax if self.format.scheme is Scheme.ASYMMETRIC else positive_steps(kind)
        return 1.0 / math.sqrt(max(x.numel() // max(self.learned.numel(), 1), 1) * max(positive, 1))

    def begin(self, x: Tensor) -> None:
        """Initialize from the first tensor."""
        kind, scheme = self.format.type, self.format.scheme
        if scheme is not Scheme.ASYMMETRIC and kind.bits > 4:
            parts = shares(x, self.format.granularity)
            self.begin_with(positive(2 * parts.abs().mean(-1) / math.sqrt(positive_steps(kind))))
            return
        scale, zero_point = first_scale(x, kind, scheme, self.format.granularity)
        self.begin_with(scale)
        self.zero_point.copy_(zero_point)

    def begin_at(self, params: QuantParams) -> None:
        """Initialize from calibrated parameters."""
        with torch.no_grad():
            scale = torch.as_tensor(params.scale.copy())
            # Start a power of two in the middle of the interval that is rounded up to it, not at its upper end, where
            # any step would double it.
            self.begin_with(scale * math.sqrt(0.5) if self.log_scale else scale)
            self.zero_point.copy_(torch.as_tensor(params.zero_point.copy(), dtype=torch.float32))
            self.mark_begun()


def slow_logarithm(log_scale: Tensor, balance: float) -> Tensor:
    """Return a logarithmic scale with a bounded gradient that changes the scale by the same percentage as LSQ's.

        dL/d(log2 s) <- tanh(balance * dL/d(log2 s) / (s ln 2)^2)

    d(scale) / scale is `balance * dL/ds / s` in LSQ, and `ln 2 * d(log2 s)` here, with `dL/d(log2 s) = s ln 2 dL/ds`.
    The bound is needed because an unbounded step of a logarithm may change the scale a thousandfold.

    Source: Jain et al. 2020, arXiv:1903.08066, appendix B (the bound).
    """
    with torch.no_grad():
        factor = balance / (torch.exp2(log_scale) * math.log(2)).square().clamp(min=1e-30)
    slow: Tensor = _Bounded.apply(log_scale, factor)  # type: ignore[no-untyped-call]
    return slow


class _Bounded(torch.autograd.Function):
    """Identity; the gradient is tanh(factor * it)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (factor,) = ctx.saved_tensors
        return torch.tanh(gradients[0] * factor), None
