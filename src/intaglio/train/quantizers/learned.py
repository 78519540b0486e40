"""A positive parameter that is learned, and kept positive."""

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
    """A quantizer with a scale or a range that is learned.

        size = unit * first * |p|,  p begins at 1        or unit * first * 2**p,  p begins at 0

    Scales are of any size: 16-bit ones are smaller than the steps that Adam takes. So the parameter p counts in parts
    of what it began with. Of a weight with a live batch norm behind it the unit is the batch norm's factor (see
    `Quantizer.measured_in`): the grid moves with the weights when the statistics do, and learns as it would, were the
    weight rounded before the factor.

    A step of the optimizer may take p beyond zero: its size counts, so the scale comes out on the other side and goes
    on learning. It stays at 2**-10 where it is less, and the gradient still passes there, so that it can come back;
    `collapsed` tells.

    Args:
        log_scale: whether p is a logarithm.
    """

    first: Tensor
    unit: Tensor
    in_units: Tensor

    def __init__(self, format: Format, shape: tuple[int, ...], *, log_scale: bool = False, **options: Any) -> None:
        super().__init__(format, shape, **options)
        self.log_scale = log_scale
        self.register_buffer("first", torch.ones(shape))  # what it began with, in units
        self.register_buffer("unit", torch.ones(shape))
        self.register_buffer("in_units", torch.zeros((), dtype=torch.bool))
        self._in_units = False  # `in_units`, once true, without asking the device
        self.magnitude = 1.0  # of the tensor, for which steps are made; see `paced`

    @property
    @abstractmethod
    def learned(self) -> Tensor:
        """The parameter."""

    def begin_with(self, size: Tensor) -> None:
        """Begin with a size of what is learned, in no units yet."""
        with torch.no_grad():
            self.first.copy_(size.clamp(min=SMALLEST_SCALE))
            self.learned.fill_(0.0 if self.log_scale else 1.0)
            self._in_units = False
            self.in_units.fill_(False)
            self.unit.fill_(1.0)

    def measured_in(self, unit: Tensor) -> None:
        """See `Quantizer.measured_in`; of scales that channels share it is the root of the mean square."""
        with torch.no_grad():
            if unit.shape != self.unit.shape:
                unit = unit.square().mean().sqrt().expand(self.unit.shape)
            unit = unit.clamp(min=SMALLEST_UNIT)
            if self._in_units:
                self.unit.copy_(unit)
                return
            # What was begun without units counts in them from now on; nothing asks the device whether there is any.
            goes_over = self.begun & ~self.in_units
            self.first.copy_(torch.where(goes_over, (self.first / unit).clamp(min=SMALLEST_SCALE), self.first))
            self.in_units.logical_or_(self.begun)
            self.unit.copy_(torch.where(self.in_units, unit, self.unit))
            self._in_units = self._has_begun

    def kept(self, balance: float = 1.0) -> Tensor:
        """What is learned, in units, as it is now; its logarithm to base 2 where `log_scale`.

        Its gradient is `dL/dp = balance / first * dL/dkept`: with it a step of SGD takes what is learned as far as if
        it were the parameter itself. A logarithm has that of p.

        Args:
            balance: see there.
        """
        if self.log_scale:
            return at_least(self.learned, _LOG_SMALLEST_PART) + self.first.log2()
        p = at_least(self.learned.abs(), SMALLEST_PART)
        # The smallest scales have gradients beyond float32, and 0 times infinity is NaN in the forward pass.
        factor = (self.paced(balance) / self.first).clamp(max=LARGEST_FACTOR)
        return (p * self.first).detach() + (p - p.detach()) * factor

    def paced(self, balance: float) -> float:
        """A gradient's factor for data of size 1, for those of size `magnitude`: SGD's steps follow gradients.

        Of s = m t with t the scale in other units, dL/dt = m dL/ds, and a step of t is m times as large in s.
        """
        return balance * self.magnitude**2

    def collapsed(self) -> Tensor:
        """See `Quantizer.collapsed`: all of a value's scales, as a channel whose weights die out does no harm."""
        small = self.learned <= _LOG_SMALLEST_PART if self.log_scale else self.learned.abs() <= SMALLEST_PART
        return super().collapsed() | small.all()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._in_units = bool(self.in_units)
