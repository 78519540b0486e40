"""Simulate functions of one quantized value with the results of the integer program's operator.

The Plan determines the integer operator of a node (`FloatOperator.unary`). Its result for every input code is stored in
a table of real numbers, so that the simulation has the same table, knots, clamps and ties. The gradient is that of the
real function.
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
"""Larger than any range; still finite in float32 when divided by a scale of 1e-8."""


class Lookup:
    """Table of an elementwise integer operator's results for every input code, as real numbers.

    Args:
        operator: elementwise operator of one input.
        x, y: parameters of input and output, per tensor.
        device: device of the tensors.
    """

    def __init__(self, operator: Operator, x: QuantParams, y: QuantParams, device: torch.device) -> None:
        first = first_entry(x.type)
        codes = np.arange(first, first + entries(x.type)).astype(x.type.dtype)
        values = np.append(y.dequantize(operator.integer(codes)), np.float32(np.nan))  # the last entry is for NaN
        self.values = torch.as_tensor(values, device=device)
        self.scale = torch.as_tensor(x.scale.reshape(()).copy(), device=device)
        self.first = first - int(x.zero_point.reshape(-1)[0])

    def __call__(self, x: Tensor) -> Tensor:
        """Return the results for rounded real inputs, without a gradient; NaN stays NaN."""
        with torch.no_grad():
            last = len(self.values) - 2
            steps = (x / self.scale).round_().sub_(self.first).clamp_(0, last).nan_to_num_(nan=last + 1)
            return self.values.index_select(0, steps.int().reshape(-1)).reshape(x.shape)


class Computed:
    """Results of an integer operator with parameters per channel, computed with its integers.

    Args:
        operator, x, y: see `Lookup`; the operator's channels are on its last axis.
        axis: channel axis of the tensors here.
    """

    def __init__(self, operator: Operator, x: QuantParams, y: QuantParams, axis: int) -> None:
        self.operator, self.x, self.y, self.axis = operator, x, y, axis

    def __call__(self, x: Tensor) -> Tensor:
        """Return the results for rounded real inputs, without a gradient; NaN stays NaN."""
        with torch.no_grad():
            codes = self.x.quantize(x.nan_to_num().movedim(self.axis, -1).cpu().numpy())
            found = torch.as_tensor(self.y.dequantize(self.operator.integer(codes)), device=x.device)
            return torch.where(x.isnan(), x, found.movedim(-1, self.axis))


def results_of(
    operator: Operator, x: QuantParams, y: QuantParams, device: torch.device, axis: int | None
) -> Lookup | Computed:
    """Return a `Lookup`, or a `Computed` for an operator with parameters per channel.

    Args:
        operator, x, y, device: see `Lookup`.
        axis: channel axis if parameters are per channel (`FloatOperator.unary_axis`); otherwise None.
    """
    return Lookup(operator, x, y, device) if axis is None else Computed(operator, x, y, axis)


def finite_gradient(x: Tensor) -> Tensor:
    """Return x; its gradient becomes 0 where it is NaN or infinite (logarithm at 0 before a clamp)."""
    return _FiniteGradient.apply(x) if x.requires_grad else x  # type: ignore[no-untyped-call]


def bounded(y: Tensor) -> Tensor:
    """Replace infinities by large numbers, so that steps and gradients of scales stay finite."""
    return y.clamp(-_LARGE, _LARGE)


def looked_up(rounded: Tensor, found: Tensor) -> Tensor:
    """Return the looked-up result with the gradient of the real function's result."""
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
