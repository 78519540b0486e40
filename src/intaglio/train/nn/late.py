"""What is usual for the last part of a training: statistics and observed ranges stay as they are."""

from __future__ import annotations

from torch import nn

from intaglio.train.nn.product_layers import ConvBn1d, ConvBn2d
from intaglio.train.quantizers.observed import MovingRange


def freeze_batch_norm(module: nn.Module) -> None:
    """From now on the batch norms of quantized layers use their running statistics, in training too."""
    for part in module.modules():
        if isinstance(part, (ConvBn1d, ConvBn2d)):
            part.batch_norm_frozen = True


def freeze_ranges(module: nn.Module) -> None:
    """From now on observed ranges of values stay; learned ones go on learning."""
    for part in module.modules():
        if isinstance(part, MovingRange):
            part.observes = False
