"""DSQ, differentiable soft quantization: the gradient of a staircase of tanh functions with learned steepness.

    f = t - floor(t)        soft(t) = floor(t) + (tanh(k (f - 1/2)) / (1 - alpha) + 1) / 2
    k = log(2 / alpha - 1), so that soft equals the exact codes at the ends of each step

alpha near 0 is a hard staircase, alpha = 0.5 almost a line. The forward pass rounds exactly; the gradients of x, scale,
zero point and alpha are those of soft.

Source: Gong et al. 2019, arXiv:1908.05033, section 3, in units of the step size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intaglio.train.estimators.grid import Grid, real, steps_of

STEEPEST, FLATTEST = 1e-3, 0.5


class Dsq(nn.Module):
    """Differentiable soft quantization.

    Args:
        alpha: softness of the steps, above 0 and up to 0.5.
        learned: whether alpha is trained.
    """

    def __init__(self, alpha: float = 0.2, *, learned: bool = True) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha), requires_grad=learned)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Round x; the gradient is that of the soft staircase."""
        steps, inside = steps_of(x, grid)
        low, high = grid.low.detach(), grid.high.detach()
        bounded = steps.clamp(low, high)
        # With codes -1 and +1 (spacing 2) there is a single step of length 2.
        soft = self.staircase((bounded - low) / grid.spacing) * grid.spacing + low
        by_bounds = inside - bounded  # value 0; carries the gradient of the zero point
        return real(soft + by_bounds, grid.codes(steps), grid, x)

    def staircase(self, steps: Tensor) -> Tensor:
        """Return soft(t), which equals t at integers."""
        alpha = self.alpha + (self.alpha.clamp(STEEPEST, FLATTEST) - self.alpha).detach()
        below = steps.detach().floor()
        k = torch.log(2 / alpha - 1)
        return below + (torch.tanh(k * (steps - below - 0.5)) / (1 - alpha) + 1) / 2
