"""The grid that a tensor is rounded to, spread over its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from intaglio.number import IntType


@dataclass(frozen=True)
class Grid:
    """`scale * (q - zero_point)`, q a code of the type.

    Args:
        scale: real units per step; broadcasts against the tensor.
        zero_point: a whole number; broadcasts against the tensor.
        type: of the codes; of a bipolar one -1 and +1 are the only ones.
        ties_up: ties go up, as requantization rounds; to even where inputs and weights are quantized.
    """

    scale: Tensor
    zero_point: Tensor
    type: IntType
    ties_up: bool = False

    @property
    def low(self) -> Tensor:
        """Steps of the smallest code."""
        return self.type.qmin - self.zero_point

    @property
    def high(self) -> Tensor:
        """Steps of the largest code."""
        return self.type.qmax - self.zero_point

    @property
    def spacing(self) -> int:
        """Steps from one code to the next: 1, or 2 from -1 to +1."""
        return 2 if self.type.bipolar else 1

    def codes(self, steps: Tensor) -> Tensor:
        """Codes minus the zero point, for x / scale; shape of `steps`, without a gradient."""
        with torch.no_grad():
            return rounded(steps, self.low, self.high, self)


def rounded(steps: Tensor, low: Tensor | float, high: Tensor | float, grid: Grid) -> Tensor:
    """The codes of a grid between given bounds; a new tensor."""
    if grid.type.bipolar:
        return torch.where(steps >= 0, 1.0, -1.0).to(steps.dtype)
    codes = (steps + 0.5).floor_() if grid.ties_up else steps.round()
    return codes.clamp_(low, high)  # type: ignore[arg-type]


class Estimator(Protocol):
    """Rounding to a grid with a gradient."""

    def __call__(self, x: Tensor, grid: Grid) -> Tensor:
        """The rounded x, real, of its shape and type. Training alone calls it: evaluation rounds to nearest."""


def steps_of(x: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """x in steps of its grid, in float32, and the same brought into the range.

    The scale of signs has the gradient of `scale * sign(x)`, to which the size of x adds nothing.
    """
    steps = x.float() / (grid.scale.detach() if grid.type.bipolar else grid.scale)
    return steps, steps.clamp(grid.low, grid.high)


def real(inside: Tensor, codes: Tensor, grid: Grid, x: Tensor) -> Tensor:
    """What codes stand for, in the type of x, with the gradients of `inside` for x and for the grid."""
    return ((inside + (codes - inside).detach()) * grid.scale).to(x.dtype)


def rounded_through(x: Tensor) -> Tensor:
    """The nearest whole numbers, ties to even, with the gradient of x."""
    return x + (x.round() - x).detach()
