"""Quantizers with fixed parameters, for functions whose results always lie in [low, high)."""

from __future__ import annotations

import torch
from torch import Tensor

from intaglio.number import QuantParams, Scheme
from intaglio.ops import Fixed
from intaglio.plan import Format
from intaglio.plan.place import fixed_params
from intaglio.targets import TensorFormat
from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.grid import Estimator
from intaglio.train.quantizers.quantizer import Quantizer


class FixedQuantizer(Quantizer):
    """Quantizer with constant parameters.

    Args:
        params: scale and zero point, per tensor.
        estimator: gradient estimator of rounding.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, params: QuantParams, estimator: Estimator = clipped) -> None:
        scheme = Scheme.SYMMETRIC if params.symmetric and params.type.signed else Scheme.ASYMMETRIC
        super().__init__(Format(params.type, scheme), (), ties_up=True, estimator=estimator)
        self.register_buffer("scale", torch.as_tensor(params.scale.copy()))
        self.register_buffer("zero_point", torch.as_tensor(params.zero_point.copy(), dtype=torch.float32))
        self.mark_begun()

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        return self.scale, self.zero_point

    def begin(self, x: Tensor) -> None:
        """Do nothing: the parameters are constant."""

    def begin_at(self, params: QuantParams) -> None:
        """Do nothing: the parameters are constant."""


def over(format: Format, low: float, high: float) -> FixedQuantizer:
    """Return a fixed quantizer over [low, high): at 8 bits, scale 1/256 for a sigmoid and 1/128 for a tanh."""
    return FixedQuantizer(fixed_params(Fixed(low, high), TensorFormat(type=format.type, scheme=format.scheme)))
