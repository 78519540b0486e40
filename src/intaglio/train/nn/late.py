"""Freeze batch norms and observed ranges for the last part of a training."""

from __future__ import annotations

from torch import nn

from intaglio.train.nn.product_layers import ConvBn1d, ConvBn2d
from intaglio.train.quantizers.observed import MovingRange


def freeze_batch_norm(module: nn.Module) -> None:
    """Use the running statistics of batch norms from now on, also in training."""
    for part in module.modules():
        if isinstance(part, (ConvBn1d, ConvBn2d)):
            part.batch_norm_frozen = True


def freeze_ranges(module: nn.Module) -> None:
    """Fix observed ranges from now on; learned scales are still trained."""
    for part in module.modules():
        if isinstance(part, MovingRange):
            part.observes = False
