"""DoReFa: weights squeezed by tanh, activations clipped to a range that stays."""

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
    """tanh of a weight, rounded to a grid that its largest element fills.

        w' = m tanh(w / m) / tanh 1,  m = max |w|        s = m / (2^(b-1) - 1)

    The paper divides by max |tanh w| and leaves the size to the batch norm behind; here the weight keeps its size, so
    that networks trained before go on with theirs and a folded batch norm scales it as any other. The paper's grid has
    2^b levels without 0 between -1 and 1; ours is symmetric about 0, which it contains. The Graph is frozen with w'
    rounded.

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
        """See `Quantizer.takes`."""
        return format.scheme is not Scheme.ASYMMETRIC and format.type.bits > 1

    def shaped(self, x: Tensor) -> Tensor:
        """The weight squeezed."""
        with torch.no_grad():
            self.size.copy_(shares(x, self.format.granularity).abs().amax(-1))
            size = spread(self.size, self.format.granularity, x.shape).clamp(min=1e-30).clone()
        return size * torch.tanh(x / size) / math.tanh(1.0)

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Quantizer.grid`."""
        return grid_of(-self.size, self.size, self.format.type, self.format.scheme)

    def begin(self, x: Tensor) -> None:
        """See `Quantizer.begin`: the range is that of the weight at each step."""

    def begin_at(self, params: QuantParams) -> None:
        """See `Quantizer.begin_at`: the range is that of the weight at each step."""
        self.mark_begun()


class DorefaActivation(Quantizer):
    """An activation clipped to a range that nobody learns: the one of the first data, or the calibrated one.

    The paper's range is [0, 1], which its networks are built for; a network that was trained before has its own.

    Source: Zhou et al. 2016, arXiv:1606.06160, section 2.5.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("zero_point", torch.full(shape, float(middle(format.type))))

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Quantizer.grid`."""
        return self.scale, self.zero_point

    def begin(self, x: Tensor) -> None:
        """See `Quantizer.begin`."""
        scale, zero_point = first_scale(x, self.format.type, self.format.scheme, self.format.granularity)
        if self.format.scheme is Scheme.POWER_OF_TWO:
            scale = torch.exp2(scale.log2().ceil())
        self.scale.copy_(scale)
        self.zero_point.copy_(zero_point)

    def begin_at(self, params: QuantParams) -> None:
        """See `Quantizer.begin_at`."""
        self.scale.copy_(torch.as_tensor(params.scale.copy()))
        self.zero_point.copy_(torch.as_tensor(params.zero_point.copy(), dtype=torch.float32))
        self.mark_begun()
