"""DoReFa: weights transformed by tanh, activations clipped to a fixed range."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format
from intaglio.train.quantizers.learned_parameters import first_scale, grid_of, middle, shares, spread
from intaglio.train.quantizers.quantizer import Quantizer


class DorefaWeight(Quantizer):
    """DoReFa weight quantizer: round tanh of the weight, with a scale given by the largest element.

        w' = m tanh(w / m) / tanh 1,  m = max |w|        s = m / (2^(b-1) - 1)

    The paper divides by max |tanh w| and relies on the next batch norm; here the weight keeps its size, so that trained
    networks can be fine-tuned and batch norm can be folded. The paper has 2^b levels between -1 and 1 without 0; here
    levels are symmetric and contain 0. The frozen Graph contains the rounded w'.

    Source: Zhou et al. 2016, arXiv:1606.06160, eq. (9).
    """

    needs: ClassVar[str] = "symmetric weights of at least 2 bits"
    transforms: ClassVar[bool] = True

    size: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.register_buffer("size", torch.zeros(shape))

    @classmethod
    def takes(cls, format: Format) -> bool:
        """Return whether the format is supported."""
        return format.scheme is not Scheme.ASYMMETRIC and format.type.bits > 1

    def shaped(self, x: Tensor) -> Tensor:
        """Return the transformed weight."""
        with torch.no_grad():
            self.size.copy_(shares(x, self.format.granularity).abs().amax(-1))
            size = spread(self.size, self.format.granularity, x.shape).clamp(min=1e-30).clone()
        return size * torch.tanh(x / size) / math.tanh(1.0)

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        return grid_of(-self.size, self.size, self.format.type, self.format.scheme)

    def begin(self, x: Tensor) -> None:
        """Do nothing: the range is computed from the weight at each step."""

    def begin_at(self, params: QuantParams) -> None:
        """Ignore the calibrated range: it is computed from the weight at each step."""
        self.mark_begun()


class DorefaActivation(Quantizer):
    """DoReFa activation quantizer: clip to a fixed range, from the first data or from calibration.

    The paper's range is [0, 1], for which its networks are built; a trained network has its own ranges.

    Source: Zhou et al. 2016, arXiv:1606.06160, section 2.5.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("zero_point", torch.full(shape, float(middle(format.type))))

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        return self.scale, self.zero_point

    def begin(self, x: Tensor) -> None:
        """Initialize from the first tensor."""
        scale, zero_point = first_scale(x, self.format.type, self.format.scheme, self.format.granularity)
        if self.format.scheme is Scheme.POWER_OF_TWO:
            scale = torch.exp2(scale.log2().ceil())
        self.scale.copy_(scale)
        self.zero_point.copy_(zero_point)

    def begin_at(self, params: QuantParams) -> None:
        """Initialize from calibrated parameters."""
        self.scale.copy_(torch.as_tensor(params.scale.copy()))
        self.zero_point.copy_(torch.as_tensor(params.zero_point.copy(), dtype=torch.float32))
        self.mark_begun()
