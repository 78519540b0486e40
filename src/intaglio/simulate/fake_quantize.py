"""Fake quantization: real numbers rounded to the grid that the integers will have."""

from __future__ import annotations

import torch
from torch import Tensor

from intaglio.number import QuantParams


class FakeQuantize:
    """`scale * clamp(round(x / scale), qmin - z, qmax - z)`, the straight-through estimator behind it.

    Bipolar: `scale` where x >= 0, else `-scale`; the gradient passes where |x| <= scale.

    It divides, as the integer program's input does (torch's own fake quantization multiplies by a reciprocal, which
    differs in ties). The gradient passes inside the range and is zero outside it.

    Args:
        params: the grid.
        shape: of the tensor; its axis 0 may be longer at run time where the parameters are per tensor.
        device: where the tensors live.
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
        if self.scale.ndim == 0:  # Python numbers spare a broadcast
            self.bounds: tuple[float, float] | None = (float(self.low), float(self.high))
        else:
            self.bounds = None

    def __call__(self, x: Tensor) -> Tensor:
        """Shape and device of x."""
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
