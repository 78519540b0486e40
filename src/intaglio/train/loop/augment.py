"""Random crops and mirror images of a batch. The random numbers are those of the step: nothing of them is kept."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.train.loop.lr_schedule import CROP, FLIP, seed_of

_CHANNELS = (1, 3, 4)  # of grey, colour and colour with opacity


class Augmentation:
    """Crops from a padded image and flips from left to right, each sample on its own.

    Args:
        kinds: "crop", "flip".
        shape: of a sample: (C, H, W), or (H, W, C) where only the last axis can be channels.
        pad: zeros around the image that a crop may reach into.
        seed: of the random numbers.
    Raises:
        UsageError: the samples are no images.
    """

    def __init__(self, kinds: Collection[str], shape: tuple[int, ...], *, pad: int = 4, seed: int = 0) -> None:
        self.kinds, self.pad, self.seed = frozenset(kinds), pad, seed
        if self.kinds and len(shape) != 3:
            raise UsageError(
                f"augment: expected images, samples of shape (C, H, W) or (H, W, C), got {shape}; leave it out"
            )
        self.last = len(shape) == 3 and shape[2] in _CHANNELS and shape[0] not in _CHANNELS

    def __call__(self, x: Tensor, step: int, share: tuple[int, int] = (0, 1)) -> Tensor:
        """A new batch of the same shape.

        Args:
            x: (N, C, H, W) or (N, H, W, C).
            step: of the training; equal steps, equal crops.
            share: (rank, world): x is this part of the step's batch, so that the crops of a sample do not depend on
                how many processes there are.
        """
        if not self.kinds:
            return x
        rank, world = share
        count = len(x)
        images = x if self.last else x.movedim(1, 3)
        height, width = images.shape[1:3]
        pad = self.pad if "crop" in self.kinds else 0
        drawn = self._drawn(CROP, step, (2, count * world), 2 * pad + 1)[:, rank * count : (rank + 1) * count]
        rows = drawn[0, :, None] + torch.arange(height)
        columns = drawn[1, :, None] + torch.arange(width)
        if "flip" in self.kinds:
            mirrored = self._drawn(FLIP, step, (count * world,), 2)[rank * count : (rank + 1) * count]
            columns = torch.where(mirrored.bool()[:, None], columns.flip(1), columns)
        padded = images.new_zeros((count, height + 2 * pad, width + 2 * pad, images.shape[3]))
        padded[:, pad : pad + height, pad : pad + width] = images
        y = padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
        return y if self.last else y.movedim(3, 1)

    def _drawn(self, stream: int, step: int, shape: tuple[int, ...], below: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed_of(self.seed, stream, step))
        return torch.randint(0, below, shape, generator=generator)
