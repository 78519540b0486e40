"""Trained quantization thresholds (TQT)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format
from intaglio.train.quantizers.learned import Learned
from intaglio.train.quantizers.learned_parameters import first_scale, middle, positive_steps
from intaglio.train.quantizers.lsq import slow_logarithm


class Tqt(Learned):
    """TQT quantizer: the logarithm of the range is learned; the scale is a power of two if the scheme asks for it.

        s = 2^ceil(log2 t) / 2^(b-1)        other schemes: s = t / 2^(b-1); one-sided codes: 2^b instead of 2^(b-1)
        d/d(log2 t) = s ln 2 * sum dL/dy * (round(x / s) - x / s inside the range, the bound outside)

    The paper divides this gradient by its running size and bounds it with tanh. Here a factor makes a step change the
    range by the same percentage as LSQ, with the same bound, so that plain SGD works. The zero point is not learned.

    Source: Jain et al. 2020, arXiv:1903.08066, section 3 and appendix B.
    """

    zero_point: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, log_scale=True, **options)
        self.log_threshold = nn.Parameter(torch.zeros(shape))
        self.register_buffer("zero_point", torch.full(shape, float(middle(format.type))))

    @property
    def learned(self) -> Tensor:
        """The logarithm of the range, relative to its initial value."""
        return self.log_threshold

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        elements = max(x.numel() // max(self.log_threshold.numel(), 1), 1)
        balance = 1.0 / math.sqrt(elements * positive_steps(self.format.type))
        exponent = slow_logarithm(self.kept() - self.reach().log2(), self.paced(balance)) + self.unit.log2()
        if self.format.scheme is Scheme.POWER_OF_TWO:
            exponent = exponent + (exponent.ceil() - exponent).detach()
        return torch.exp2(exponent), self.zero_point

    def reach(self) -> Tensor:
        """Return the steps from 0 to the threshold: 2^(b-1) for symmetric formats."""
        kind = self.format.type
        return torch.maximum(kind.qmax + 1 - self.zero_point, self.zero_point - kind.qmin)

    def begin(self, x: Tensor) -> None:
        """Initialize from the first tensor."""
        scale, zero_point = first_scale(x, self.format.type, self.format.scheme, self.format.granularity)
        self.zero_point.copy_(zero_point)
        self.begin_with(scale * self.reach())

    def begin_at(self, params: QuantParams) -> None:
        """Initialize from calibrated parameters."""
        with torch.no_grad():
            scale = torch.as_tensor(params.scale.copy())
            self.zero_point.copy_(torch.as_tensor(params.zero_point.copy(), dtype=torch.float32))
            # Start a power of two in the middle of the interval that is rounded up to it.
            power = self.format.scheme is Scheme.POWER_OF_TWO
            self.begin_with((scale * math.sqrt(0.5) if power else scale) * self.reach())
            self.mark_begun()
