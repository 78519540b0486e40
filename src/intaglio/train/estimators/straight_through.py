"""Straight-through estimator: the gradient of rounding is 1 everywhere.

    dL/dx = dL/dy, inside and outside the range

Source: Bengio et al. 2013, arXiv:1308.3432, section 4.
"""

from __future__ import annotations

from torch import Tensor

from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.grid import Grid


def straight_through(x: Tensor, grid: Grid) -> Tensor:
    """Round x; the gradient of x is the identity, those of scale and zero point are as in `clipped`."""
    return clipped(x.detach(), grid) + (x - x.detach())
