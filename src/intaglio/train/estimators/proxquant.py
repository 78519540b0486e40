"""ProxQuant: real weights in the forward pass; a proximal step after each optimizer step pulls them to the codes.

    after each step of the optimizer:   w <- q + sign(w - q) max(|w - q| - lambda, 0)        q = w rounded
    lambda = rate * progress * scale; from progress `settled` on: w <- q

This is the proximal operator of lambda |w - q|. Its strength grows during training: weights move freely at first and
are exactly quantized at the end.

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
    """ProxQuant estimator of weights; `QuantizedModule.after_step` applies the proximal step.

    Args:
        rate: pull per optimizer step at the end of the training, in steps.
        settled: progress from which weights stay quantized, while the rest of the network goes on training.
    """

    rate: float = 0.01
    settled: float = 0.8

    def __call__(self, x: Tensor, grid: Grid) -> Tensor:
        """Return x; scale and zero point get the gradients of `clipped`."""
        rounded = clipped(x.detach(), grid)
        return x + (rounded - rounded.detach())

    def pulled(self, x: Tensor, grid: Grid, progress: float) -> Tensor:
        """Apply the proximal step to weights.

        Args:
            x: weights as their quantizer sees them.
            grid: grid of the weights.
            progress: fraction of the training that is done, 0 to 1.
        """
        with torch.no_grad():
            rounded = grid.codes(x / grid.scale) * grid.scale
            if progress >= self.settled:
                return rounded
            distance = x - rounded
            return rounded + distance.sign() * (distance.abs() - self.rate * progress * grid.scale).clamp(min=0)
