"""Base of quantizers with a learned positive parameter: scale or range."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from intaglio.number.params import SMALLEST_SCALE
from intaglio.plan import Format
from intaglio.train.quantizers.learned_parameters import at_least
from intaglio.train.quantizers.quantizer import Quantizer

SMALLEST_PART = 2.0**-10
SMALLEST_UNIT = 2.0**-40
LARGEST_FACTOR = 2.0**100
_LOG_SMALLEST_PART = -10.0


class Learned(Quantizer):
    """Quantizer with a learned scale or range.

        size = unit * first * |p|,  initially p = 1        or unit * first * 2**p,  initially p = 0

    The parameter p is relative to the initial size, because scales have any size: 16-bit scales are smaller than the
    steps of Adam. For a weight with a trainable batch norm the unit is the batch norm's factor (see
    `Quantizer.measured_in`): the scale follows the statistics, and learns as if the weight were rounded before the
    factor.

    An optimizer step may change the sign of p: the absolute value is used. |p| is at least 2**-10 in the forward pass;
    the gradient still passes below, so that p can recover; `collapsed` reports it.

    Args:
        log_scale: whether p is a logarithm.
    """

    first: Tensor
    unit: Tensor
    in_units: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], *, log_scale: bool = False, **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.log_scale = log_scale
        self.register_buffer("first", torch.ones(shape))  # initial size, in units
        self.register_buffer("unit", torch.ones(shape))
        self.register_buffer("in_units", torch.zeros((), dtype=torch.bool))
        self._in_units = False  # `in_units`, once true, without asking the device
        self.magnitude = 1.0  # size of the tensor, which scales optimizer steps; see `paced`

    @property
    @abstractmethod
    def learned(self) -> Tensor:
        """The learned parameter p."""

    def begin_with(self, size: Tensor) -> None:
        """Set the initial size, without units."""
        with torch.no_grad():
            self.first.copy_(size.clamp(min=SMALLEST_SCALE))
            self.learned.fill_(0.0 if self.log_scale else 1.0)
            self._in_units = False
            self.in_units.fill_(False)
            self.unit.fill_(1.0)

    def measured_in(self, unit: Tensor) -> None:
        """Set the unit; a scale shared by channels takes the root mean square of their units."""
        with torch.no_grad():
            if unit.shape != self.unit.shape:
                unit = unit.square().mean().sqrt().expand(self.unit.shape)
            unit = unit.clamp(min=SMALLEST_UNIT)
            if self._in_units:
                self.unit.copy_(unit)
                return
            # Convert an initial size without units to units, without synchronizing with the device.
            goes_over = self.begun & ~self.in_units
            self.first.copy_(torch.where(goes_over, (self.first / unit).clamp(min=SMALLEST_SCALE), self.first))
            self.in_units.logical_or_(self.begun)
            self.unit.copy_(torch.where(self.in_units, unit, self.unit))
            self._in_units = self._has_begun

    def kept(self, balance: float = 1.0) -> Tensor:
        """Return the current size in units; its logarithm to base 2 with `log_scale`.

        The gradient is `dL/dp = balance / first * dL/dkept`: an SGD step then changes the size as if it were the
        parameter itself. A logarithm has the gradient of p.

        Args:
            balance: factor of the gradient.
        """
        if self.log_scale:
            return at_least(self.learned, _LOG_SMALLEST_PART) + self.first.log2()
        p = at_least(self.learned.abs(), SMALLEST_PART)
        # Gradients of the smallest scales overflow float32, and 0 times infinity would be NaN in the forward pass.
        factor = (self.paced(balance) / self.first).clamp(max=LARGEST_FACTOR)
        return (p * self.first).detach() + (p - p.detach()) * factor

    def paced(self, balance: float) -> float:
        """Scale a gradient factor from data of size 1 to data of size `magnitude`, because SGD steps follow gradients.

        For s = m t, dL/dt = m dL/ds, and a step of t is m times as large in s.
        """
        return balance * self.magnitude**2

    def collapsed(self) -> Tensor:
        """Return whether all scales of the value have collapsed; single dead channels do no harm."""
        small = self.learned <= _LOG_SMALLEST_PART if self.log_scale else self.learned.abs() <= SMALLEST_PART
        return super().collapsed() | small.all()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._in_units = bool(self.in_units)
