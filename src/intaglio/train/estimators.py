"""Gradient estimators: what rounding passes on in the backward pass.

    forward    round(x)
    backward   dL/dx = dL/dy * e(x)

A quantizer is given one of these; each keeps `round` in the forward pass, so that a trained network freezes to what was
trained.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Estimator(Protocol):
    """Rounding to whole numbers with a gradient."""

    def __call__(self, x: Tensor, *, ties_up: bool = False) -> Tensor:
        """Whole numbers, shape of x; ties go to even, or up."""


def nearest(x: Tensor, ties_up: bool = False) -> Tensor:
    """Rounding as the integer program does it; without a gradient."""
    return (x + 0.5).floor() if ties_up else x.round()


def straight_through(x: Tensor, *, ties_up: bool = False) -> Tensor:
    """The gradient passes as if nothing had been rounded: e(x) = 1.

    Source: Bengio et al. 2013, arXiv:1308.3432.
    """
    return x + (nearest(x, ties_up) - x).detach()
