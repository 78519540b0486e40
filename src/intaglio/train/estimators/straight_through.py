"""The straight-through estimator: rounding passes every gradient on.

    dL/dx = dL/dy, inside the range and outside it

Source: Bengio et al. 2013, arXiv:1308.3432, section 4.
"""

from __future__ import annotations

from torch import Tensor

from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.grid import Grid


def straight_through(x: Tensor, grid: Grid) -> Tensor:
    """Identity for x everywhere; a learned grid has the gradients that `clipped` gives it."""
    return clipped(x.detach(), grid) + (x - x.detach())
