"""Differentiable soft quantization: the gradient of a staircase of tanh, whose steps may get steeper in training.

    f = t - floor(t)        soft(t) = floor(t) + (tanh(k (f - 1/2)) / (1 - alpha) + 1) / 2
    k = log(2 / alpha - 1), so that soft meets the grid's points at the ends of each step

alpha near 0 is the staircase itself, alpha = 0.5 almost a line. The forward pass rounds exactly; the gradients of x, of
the grid and of alpha are those of soft.

Source: Gong et al. 2019, arXiv:1908.05033, section 3, with one step of the grid as the unit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intaglio.train.estimators.grid import Grid, real, steps_of

STEEPEST, FLATTEST = 1e-3, 0.5


class Dsq(nn.Module):
    """The soft staircase.

    Args:
        alpha: how far a step is from a hard one, above 0 and up to 0.5.
        learned: alpha is a parameter; else it stays.
    """

    def __init__(self, alpha: float = 0.2, *, learned: bool = True) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha), requires_grad=learned)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """See `Estimator`."""
        steps, inside = steps_of(x, grid)
        low, high = grid.low.detach(), grid.high.detach()
        bounded = steps.clamp(low, high)
        # Codes that lie `spacing` apart, -1 and +1, are the ends of one step of that length.
        soft = self.staircase((bounded - low) / grid.spacing) * grid.spacing + low
        by_bounds = inside - bounded  # 0, with the gradient of a zero point: the steps have no part in it
        return real(soft + by_bounds, grid.codes(steps), grid, x)

    def staircase(self, steps: Tensor) -> Tensor:
        """soft(t), which meets t at whole numbers."""
        alpha = self.alpha + (self.alpha.clamp(STEEPEST, FLATTEST) - self.alpha).detach()
        below = steps.detach().floor()
        k = torch.log(2 / alpha - 1)
        return below + (torch.tanh(k * (steps - below - 0.5)) / (1 - alpha) + 1) / 2
