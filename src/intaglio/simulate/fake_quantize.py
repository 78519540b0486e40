"""Fake quantization: round real numbers to the values that the integers represent."""

from __future__ import annotations

import torch
from torch import Tensor

from intaglio.number import QuantParams


class FakeQuantize:
    """Fake quantization `scale * clamp(round(x / scale), qmin - z, qmax - z)` with a straight-through gradient.

    Bipolar: `scale` if x >= 0, else `-scale`; the gradient passes if |x| <= scale.

    It divides, as the integer program's input does (PyTorch's fake quantization multiplies by the reciprocal, which
    differs in ties). The gradient passes inside the range and is zero outside.

    Args:
        params: quantization parameters.
        shape: shape of the tensor; with per-tensor parameters axis 0 may be larger at run time.
        device: device of the tensors.
        ties_up: round ties up, as requantization does, instead of to even, as quantization of inputs and weights does.
            With power-of-two scales ties are frequent.
    Source: Jacob et al. 2018, arXiv:1712.05877, section 3; Bengio et al. 2013, arXiv:1308.3432 (straight-through);
        Courbariaux et al. 2016, arXiv:1602.02830, eq. (4) (bipolar).
    """

    def __init__(
        self, params: QuantParams, shape: tuple[int, ...], device: torch.device, *, ties_up: bool = False
    ) -> None:
        self.ties_up, self.bipolar = ties_up, params.type.bipolar
        expand = params.granularity.expand
        zero_point = expand(params.zero_point, shape)
        self.scale = torch.as_tensor(expand(params.scale, shape).copy(), device=device)
        self.low = torch.as_tensor(params.type.qmin - zero_point, dtype=torch.float32, device=device)
        self.high = torch.as_tensor(params.type.qmax - zero_point, dtype=torch.float32, device=device)
        if self.scale.ndim == 0:  # Python numbers need no broadcast
            self.bounds: tuple[float, float] | None = (float(self.low), float(self.high))
        else:
            self.bounds = None

    def __call__(self, x: Tensor) -> Tensor:
        """Round x; same shape and device."""
        if self.bipolar:
            return self._sign(x)
        steps = x / self.scale
        if steps.requires_grad:
            steps = steps + ((steps + 0.5).floor() - steps if self.ties_up else steps.round() - steps).detach()
        else:
            steps = steps.add_(0.5).floor_() if self.ties_up else steps.round_()
        if self.bounds is not None:
            return (
                steps.clamp(*self.bounds) * self.scale
                if steps.requires_grad
                else steps.clamp_(*self.bounds).mul_(self.scale)
            )
        return torch.minimum(torch.maximum(steps, self.low), self.high) * self.scale

    def _sign(self, x: Tensor) -> Tensor:
        rounded = torch.where(x >= 0, self.scale, -self.scale).to(x.dtype)
        if not x.requires_grad:
            return rounded
        passes = torch.minimum(torch.maximum(x, -self.scale), self.scale)
        return passes + (rounded - passes).detach()


class Saturate(FakeQuantize):
    """Range of the integers without rounding: `clamp(x, (qmin - z) * scale, (qmax - z) * scale)`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Limit x; same shape and device."""
        return torch.minimum(torch.maximum(x, self.low * self.scale), self.high * self.scale)
