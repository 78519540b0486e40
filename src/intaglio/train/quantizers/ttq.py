"""Trained ternary quantization (TTQ)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from intaglio.number import QuantParams, Scheme
from intaglio.number.params import SMALLEST_SCALE
from intaglio.plan import Format
from intaglio.train.estimators.grid import rounded_through
from intaglio.train.quantizers.learned import SMALLEST_PART
from intaglio.train.quantizers.learned_parameters import at_least, positive_steps, shares, spread
from intaglio.train.quantizers.quantizer import Quantizer

THRESHOLD = 0.05


class Ttq(Quantizer):
    """TTQ quantizer: three weight values, of which the positive and the negative one are learned.

        m = max |w|        y = m p if w > 0.05 m,  -m n if w < -0.05 m,  else 0
        dL/dp = m sum of dL/dy over w > 0.05 m        dL/dn = -m sum of dL/dy over w < -0.05 m
        dL/dw = p dL/dy,  n dL/dy,  dL/dy

    The paper divides weights by m; here they keep their size. Integers have one scale, s = m max(p, n) / qmax, and the
    smaller of p and n is rounded to whole steps of it. So codes need 3 or 4 bits, although only three codes are used.
    The frozen Graph contains the rounded weights.

    Source: Zhu et al. 2017, arXiv:1612.01064, eq. (6) to (9).
    """

    needs: ClassVar[str] = "symmetric weights of 3 or 4 bits, as its two scales are whole numbers of one step"
    transforms: ClassVar[bool] = True

    size: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.positive, self.negative = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(shape))
        self.register_buffer("size", torch.ones(shape))

    @classmethod
    def takes(cls, format: Format) -> bool:
        """Return whether the format is supported."""
        return 3 <= format.type.bits <= 4 and format.type.signed and format.scheme is not Scheme.ASYMMETRIC

    def shaped(self, x: Tensor) -> Tensor:
        """Return the ternary weight."""
        granularity = self.format.granularity
        with torch.no_grad():
            self.size.copy_(shares(x, granularity).abs().amax(-1).clamp(min=SMALLEST_SCALE))
            above = (x > THRESHOLD * spread(self.size, granularity, x.shape)).to(x.dtype)
            below = (x < -THRESHOLD * spread(self.size, granularity, x.shape)).to(x.dtype)
        positive, negative = (spread(p, granularity, x.shape) for p in self._outer())
        ternary = above * positive - below * negative
        with torch.no_grad():  # of x: dL/dy times p, n or 1
            size = spread(self.size, granularity, x.shape)
            slope = (above * positive + below * negative) / size + (1 - above - below)
        return ternary + (x - x.detach()) * slope

    def _outer(self) -> tuple[Tensor, Tensor]:
        """Return the sizes of the positive and the negative value, in whole steps."""
        step, size = self._step(), self.size.clone()
        positive, negative = (at_least(p, SMALLEST_PART) * size for p in (self.positive, self.negative))
        return rounded_through(positive / step) * step, rounded_through(negative / step) * step

    def _step(self) -> Tensor:
        with torch.no_grad():
            largest = torch.maximum(self.positive, self.negative).clamp(min=SMALLEST_PART) * self.size
            step = largest / positive_steps(self.format.type)
            if self.format.scheme is Scheme.POWER_OF_TWO:  # round up, so that the larger value is representable
                step = torch.exp2(step.log2().ceil())
            return step.clamp(min=SMALLEST_SCALE)

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        scale = self._step()
        return scale, torch.zeros_like(scale)

    def begin(self, x: Tensor) -> None:
        """Initialize each value with the mean of |w| beyond the threshold on its side."""
        parts = shares(x, self.format.granularity)
        size = parts.abs().amax(-1, keepdim=True).clamp(min=SMALLEST_SCALE)
        for scale, beyond in ((self.positive, parts > THRESHOLD * size), (self.negative, parts < -THRESHOLD * size)):
            mean = (parts.abs() * beyond).sum(-1) / beyond.sum(-1).clamp(min=1) / size.squeeze(-1)
            scale.copy_(mean.clamp(min=THRESHOLD))

    def begin_at(self, params: QuantParams) -> None:
        """Ignore the calibrated scale: both values are initialized from the first weight."""

    def collapsed(self) -> Tensor:
        """Return whether both values have collapsed."""
        largest = torch.maximum(self.positive, self.negative)
        return super().collapsed() | (largest <= SMALLEST_PART).all()
