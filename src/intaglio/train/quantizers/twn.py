"""Ternary weight networks (TWN)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from intaglio.number import QuantParams, Scheme
from intaglio.number.params import SMALLEST_SCALE
from intaglio.plan import Format
from intaglio.train.quantizers.learned_parameters import power_of_two, shares, spread
from intaglio.train.quantizers.quantizer import Quantizer

THRESHOLD = 0.7


class Twn(Quantizer):
    """TWN quantizer: codes -1, 0 and +1 by a threshold; the scale is the mean of |w| above it.

        d = 0.7 mean |w|        code sign(w) if |w| > d, else 0        s = mean of |w| over |w| > d
        dL/dw = dL/dy

    The threshold is not s / 2, so the frozen Graph contains the rounded weights.

    Source: Li et al. 2016, arXiv:1605.04711, eq. (4) to (6).
    """

    needs: ClassVar[str] = "symmetric weights of 2 bits"
    transforms: ClassVar[bool] = True

    scale: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.register_buffer("scale", torch.ones(shape))

    @classmethod
    def takes(cls, format: Format) -> bool:
        """Return whether the format is supported."""
        return format.type.bits == 2 and format.type.signed and format.scheme is not Scheme.ASYMMETRIC

    def shaped(self, x: Tensor) -> Tensor:
        """Return the ternary weight, with the gradient of x."""
        granularity = self.format.granularity
        with torch.no_grad():
            size = shares(x, granularity).abs()
            threshold = THRESHOLD * size.mean(-1, keepdim=True)
            above = size > threshold
            scale = (size * above).sum(-1) / above.sum(-1).clamp(min=1)
            self.scale.copy_(power_of_two(scale.clamp(min=SMALLEST_SCALE), self.format.scheme))
            signs = x.sign() * (x.abs() > spread(threshold.squeeze(-1), granularity, x.shape))
            ternary = signs * spread(self.scale, granularity, x.shape)
        return x + (ternary - x).detach()

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        return self.scale, torch.zeros_like(self.scale)

    def begin(self, x: Tensor) -> None:
        """Do nothing: the scale is computed from the weight at each step."""

    def begin_at(self, params: QuantParams) -> None:
        """Ignore the calibrated scale: it is computed from the weight at each step."""
        self.mark_begun()
