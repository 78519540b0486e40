"""Functions of one quantized value: their results are looked up where the integer program has them from.

A Plan's grids decide which integer operator lowering makes of a node (`FloatOperator.unary`). What that gives for
every code is a table of real numbers, and the simulation reads it: the same table, knots, clamps and ties. The
gradient is that of the real function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from intaglio.number import QuantParams
from intaglio.program import Operator
from intaglio.program.operators.lut import entries, first_entry

_LARGE = 1e30
"""Beyond all grids; divided by a scale of 1e-8 it is still finite in float32."""


class Lookup:
    """The results of an integer operator for every code of its input, as real numbers.

    Args:
        operator: of one input, element by element.
        x, y: parameters of its input and output, one scale each.
        device: where the tensors live.
    """

    def __init__(self, operator: Operator, x: QuantParams, y: QuantParams, device: torch.device) -> None:
        first = first_entry(x.type)
        codes = np.arange(first, first + entries(x.type)).astype(x.type.dtype)
        values = np.append(y.dequantize(operator.integer(codes)), np.float32(np.nan))  # the last one for NaN
        self.values = torch.as_tensor(values, device=device)
        self.scale = torch.as_tensor(x.scale.reshape(()).copy(), device=device)
        self.first = first - int(x.zero_point.reshape(-1)[0])

    def __call__(self, x: Tensor) -> Tensor:
        """Results for real numbers on the input's grid, without a gradient. NaN stays."""
        with torch.no_grad():
            last = len(self.values) - 2
            steps = (x / self.scale).round_().sub_(self.first).clamp_(0, last).nan_to_num_(nan=last + 1)
            return self.values.index_select(0, steps.int().reshape(-1)).reshape(x.shape)


class Computed:
    """The results of an integer operator that has parameters per channel, as real numbers: its integers, computed.

    Args:
        operator, x, y: see `Lookup`; the operator's channels are the last axis.
        axis: of the channels here.
    """

    def __init__(self, operator: Operator, x: QuantParams, y: QuantParams, axis: int) -> None:
        self.operator, self.x, self.y, self.axis = operator, x, y, axis

    def __call__(self, x: Tensor) -> Tensor:
        """Results for real numbers on the input's grid, without a gradient. NaN stays."""
        with torch.no_grad():
            codes = self.x.quantize(x.nan_to_num().movedim(self.axis, -1).cpu().numpy())
            found = torch.as_tensor(self.y.dequantize(self.operator.integer(codes)), device=x.device)
            return torch.where(x.isnan(), x, found.movedim(-1, self.axis))


def results_of(
    operator: Operator, x: QuantParams, y: QuantParams, device: torch.device, axis: int | None
) -> Lookup | Computed:
    """Whichever of both fits an operator.

    Args:
        operator, x, y, device: see `Lookup`.
        axis: of its channels, where it has parameters per channel (`FloatOperator.unary_axis`).
    """
    return Lookup(operator, x, y, device) if axis is None else Computed(operator, x, y, axis)


def finite_gradient(x: Tensor) -> Tensor:
    """x, whose gradient becomes 0 where it is no finite number: that of a logarithm at 0, behind a clamp."""
    return _FiniteGradient.apply(x) if x.requires_grad else x  # type: ignore[no-untyped-call]


def bounded(y: Tensor) -> Tensor:
    """y, infinite results as large numbers: steps of any grid are finite then, and so are the gradients of scales."""
    return y.clamp(-_LARGE, _LARGE)


def looked_up(rounded: Tensor, found: Tensor) -> Tensor:
    """What was looked up, with the gradient of what the real function gave."""
    return _LookedUp.apply(rounded, found) if rounded.requires_grad else found  # type: ignore[no-untyped-call]


class _FiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.nan_to_num(gradients[0], nan=0.0, posinf=0.0, neginf=0.0)


class _LookedUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rounded: Tensor, found: Tensor) -> Tensor:
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
