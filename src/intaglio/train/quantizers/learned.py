"""A positive parameter that is learned, and kept positive."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from intaglio.number.params import SMALLEST_SCALE
from intaglio.plan import Format
from intaglio.train.quantizers.parameters import at_least
from intaglio.train.quantizers.quantizer import Quantizer

SMALLEST_PART = 2.0**-10
SMALLEST_UNIT = 2.0**-40


class Learned(Quantizer):
    """A quantizer whose scale follows from a learned parameter, itself or its logarithm to base 2.

    A step of the optimizer may take the parameter beyond zero: its size counts, so the scale comes out on the other
    side and goes on learning. It stays at 2**-10 of the scale that it began with where it is less, and the gradient
    still passes there, so that it can come back; `collapsed` tells.

    Of a weight with a live batch norm behind it, the parameter counts in units of the batch norm's factor (see
    `Quantizer.measured_in`): the grid moves with the weights when the statistics do, and what is learned has the
    gradient that it would have, were the weight rounded before the factor.

    Args:
        log_scale: whether the parameter is the logarithm.
    """

    least: Tensor
    unit: Tensor
    in_units: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], *, log_scale: bool = False, **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.log_scale = log_scale
        self.register_buffer("least", torch.full(shape, -126.0 if log_scale else SMALLEST_SCALE))
        self.register_buffer("unit", torch.ones(shape))
        self.register_buffer("in_units", torch.zeros((), dtype=torch.bool))
        self._in_units = False  # `in_units` without asking the device

    @property
    @abstractmethod
    def learned(self) -> Tensor:
        """The parameter."""

    def set_learned(self, value: Tensor) -> None:
        """Begin with a value of what is learned (not of its logarithm), in no units yet."""
        with torch.no_grad():
            value = value.clamp(min=SMALLEST_SCALE)
            self.least.copy_(value * SMALLEST_PART).clamp_(min=SMALLEST_SCALE)
            self.learned.copy_(value)
            if self.log_scale:
                self.least.log2_()
                self.learned.log2_()
            self._in_units = False
            self.in_units.fill_(False)
            self.unit.fill_(1.0)

    def measured_in(self, unit: Tensor) -> None:
        """See `Quantizer.measured_in`; of scales that channels share it is the root of the mean square."""
        with torch.no_grad():
            if unit.shape != self.unit.shape:
                unit = unit.square().mean().sqrt().expand(self.unit.shape)
            unit = unit.clamp(min=SMALLEST_UNIT)
            if not self._in_units and not self._goes_over(unit):
                return
            self.unit.copy_(unit)

    def _goes_over(self, unit: Tensor) -> bool:
        """Count what was begun without units in them from now on; whether there is anything yet."""
        if not bool(self.in_units) and bool(self.begun):
            for part in (self.learned, self.least):
                part.copy_(part - unit.log2() if self.log_scale else part / unit)
            self.in_units.fill_(True)
        self._in_units = bool(self.in_units)
        return self._in_units

    def kept(self) -> Tensor:
        """The size of the learned parameter, or its logarithm, where it is not below its bound; there the bound."""
        return at_least(self.learned if self.log_scale else self.learned.abs(), self.least)

    def collapsed(self) -> Tensor:
        """See `Quantizer.collapsed`: all of a value's scales, as a channel whose weights die out does no harm."""
        size = self.learned if self.log_scale else self.learned.abs()
        return ~self.learned.isfinite().all() | (size <= self.least).all()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._in_units = False
