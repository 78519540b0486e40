"""XNOR-Net binary weights: sign(w) times the mean of |w|. (`Lsq` learns the scale instead.)"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from intaglio.number import QuantParams
from intaglio.number.params import SMALLEST_SCALE
from intaglio.plan import Format
from intaglio.train.quantizers.learned_parameters import power_of_two, shares, spread
from intaglio.train.quantizers.quantizer import Quantizer


class Xnor(Quantizer):
    """Binary weight quantizer: sign of the weight times the mean of |w|.

        y = a sign(w),  a = mean |w|        dL/dw = dL/dy (1 / n + a / max |w|)        n elements share a scale

    The paper keeps weights in [-1, 1] and takes 1 as the gradient of sign for |w| < 1, else 0. Here weights are divided
    by max |w|, so they are always in [-1, 1], whatever the scale of a folded batch norm.

    Source: Rastegari et al. 2016, arXiv:1603.05279, section 3.1.
    """

    needs: ClassVar[str] = "bipolar weights"
    transforms: ClassVar[bool] = True

    scale: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.register_buffer("scale", torch.ones(shape))

    @classmethod
    def takes(cls, format: Format) -> bool:
        """Accept bipolar formats."""
        return format.type.bipolar

    def shaped(self, x: Tensor) -> Tensor:
        """Return the binary weight."""
        granularity = self.format.granularity
        with torch.no_grad():
            parts = shares(x, granularity).abs()
            mean, largest = parts.mean(-1), parts.amax(-1)
            self.scale.copy_(power_of_two(mean.clamp(min=SMALLEST_SCALE), self.format.scheme))
            slope = 1 / parts.shape[-1] + mean / largest.clamp(min=SMALLEST_SCALE)
            scale, slope = (spread(p, granularity, x.shape) for p in (self.scale, slope))
            binary = torch.where(x >= 0, scale, -scale)
        return binary + (x - x.detach()) * slope

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scale of the last weight, and zero point 0."""
        return self.scale, torch.zeros_like(self.scale)

    def begin(self, x: Tensor) -> None:
        """Do nothing: the scale is computed from the weight at each step."""

    def begin_at(self, params: QuantParams) -> None:
        """Ignore the calibrated scale: it is computed from the weight at each step."""
        self.mark_begun()
