"""Training without a gradient of rounding: the forward pass has real weights, a proximal step pulls them to the grid.

    after each step of the optimizer:   w <- q + sign(w - q) max(|w - q| - lambda, 0)        q = w rounded
    lambda = rate * progress * scale, and from `settled` on without end: w <- q

This is the proximal operator of lambda |w - q|, the distance to the grid. Its strength grows as training goes on, so
that early weights move freely and late ones lie on their grid.

Source: Bai et al. 2019, arXiv:1810.00861, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.grid import Grid


@dataclass(frozen=True)
class ProxQuant:
    """Weights that come to lie on their grid; `QuantizedModule.after_step` pulls them.

    Args:
        rate: the pull of one optimizer step at the end of training, in steps of the grid.
        settled: the progress from which weights are held on the grid, while the rest of the network trains on.
    """

    rate: float = 0.01
    settled: float = 0.8

    def __call__(self, x: Tensor, grid: Grid) -> Tensor:
        """x itself; a learned grid has the gradients that `clipped` gives it."""
        rounded = clipped(x.detach(), grid)
        return x + (rounded - rounded.detach())

    def pulled(self, x: Tensor, grid: Grid, progress: float) -> Tensor:
        """Weights after the proximal step.

        Args:
            x: the weights as their quantizer sees them.
            grid: theirs.
            progress: of the training, 0 to 1.
        """
        with torch.no_grad():
            rounded = grid.codes(x / grid.scale) * grid.scale
            if progress >= self.settled:
                return rounded
            distance = x - rounded
            return rounded + distance.sign() * (distance.abs() - self.rate * progress * grid.scale).clamp(min=0)
