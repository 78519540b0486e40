"""Grid of a tensor in training: scale, zero point and type, broadcast to the tensor's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from intaglio.number import IntType


@dataclass(frozen=True)
class Grid:
    """Representable numbers `scale * (q - zero_point)`, where q is a code of the type.

    Args:
        scale: real units per step; broadcasts against the tensor.
        zero_point: integer values; broadcasts against the tensor.
        type: integer type of the codes; a bipolar type has only the codes -1 and +1.
        ties_up: round ties up, as requantization does; otherwise to even, as for inputs and weights.
    """

    scale: Tensor
    zero_point: Tensor
    type: IntType
    ties_up: bool = False

    @property
    def low(self) -> Tensor:
        """Smallest code minus zero point."""
        return self.type.qmin - self.zero_point

    @property
    def high(self) -> Tensor:
        """Largest code minus zero point."""
        return self.type.qmax - self.zero_point

    @property
    def spacing(self) -> int:
        """Distance between neighbouring codes: 1, or 2 for -1 and +1."""
        return 2 if self.type.bipolar else 1

    def codes(self, steps: Tensor) -> Tensor:
        """Round `steps` = x / scale to codes minus zero point, without a gradient."""
        with torch.no_grad():
            return rounded(steps, self.low, self.high, self)


def rounded(steps: Tensor, low: Tensor | float, high: Tensor | float, grid: Grid) -> Tensor:
    """Round steps to codes minus zero point within given bounds; returns a new tensor."""
    if grid.type.bipolar:
        return torch.where(steps >= 0, 1.0, -1.0).to(steps.dtype)
    codes = (steps + 0.5).floor_() if grid.ties_up else steps.round()
    return codes.clamp_(low, high)  # type: ignore[arg-type]


class Estimator(Protocol):
    """Differentiable rounding to a grid."""

    def __call__(self, x: Tensor, grid: Grid) -> Tensor:
        """Return rounded x, real, same shape and dtype. Called in training only: evaluation rounds to nearest."""


def steps_of(x: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Return x / scale in float32, and the same clamped to the range.

    For bipolar types the scale's gradient is that of `scale * sign(x)`, which does not depend on the size of x.
    """
    steps = x.float() / (grid.scale.detach() if grid.type.bipolar else grid.scale)
    return steps, steps.clamp(grid.low, grid.high)


def real(inside: Tensor, codes: Tensor, grid: Grid, x: Tensor) -> Tensor:
    """Return the real values of codes in the dtype of x, with the gradients of `inside` for x, scale and zero point."""
    return ((inside + (codes - inside).detach()) * grid.scale).to(x.dtype)


def rounded_through(x: Tensor) -> Tensor:
    """Round to nearest, ties to even, with the gradient of the identity."""
    return x + (x.round() - x).detach()
