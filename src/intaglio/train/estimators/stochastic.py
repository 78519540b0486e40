"""Stochastic rounding: round up or down at random, so that the expected code is the unrounded number.

    q = floor(t) + (1 with probability t - floor(t), else 0)        for one bit: +1 with probability (t + 1) / 2

The gradient is that of `clipped`.

Source: Gupta et al. 2015, arXiv:1502.02551, section 3.1; for stochastic neurons: Bengio et al. 2013, arXiv:1308.3432;
for one bit: Courbariaux et al. 2015, arXiv:1511.00363, eq. (2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from intaglio.train.estimators.draws import Draws
from intaglio.train.estimators.grid import Grid, real, steps_of


class Stochastic(Draws):
    """Stochastic rounding (see the module's equations, and `Draws` for the seed)."""

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Round x at random; the gradient is that of `clipped`."""
        _, inside = steps_of(x, grid)
        with torch.no_grad():
            codes = grid.spacing * ((inside - grid.low) / grid.spacing + self.uniform(x)).floor_() + grid.low
        return real(inside, codes, grid, x)
