"""Augment batches by random crops and flips, seeded by the step so that no state has to be saved."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.train.loop.lr_schedule import CROP, FLIP, seed_of

_CHANNELS = (1, 3, 4)  # of grey, colour and colour with opacity


class Augmentation:
    """Random crops of the padded image and horizontal flips, independent for each sample.

    Args:
        kinds: "crop", "flip" or both.
        shape: shape of a sample: (C, H, W), or (H, W, C) if only the last axis can be channels.
        pad: zero padding around the image, in pixels.
        seed: seed of the random numbers.
    Raises:
        UsageError: the samples are not images.
    """

    def __init__(self, kinds: Collection[str], shape: tuple[int, ...], *, pad: int = 4, seed: int = 0) -> None:
        self.kinds, self.pad, self.seed = frozenset(kinds), pad, seed
        if self.kinds and len(shape) != 3:
            raise UsageError(
                f"augment: expected images of shape (C, H, W) or (H, W, C), got samples of shape {shape}; leave out "
                "augmentation"
            )
        self.last = len(shape) == 3 and shape[2] in _CHANNELS and shape[0] not in _CHANNELS

    def __call__(self, x: Tensor, step: int, share: tuple[int, int] = (0, 1)) -> Tensor:
        """Return an augmented batch of the same shape.

        Args:
            x: (N, C, H, W) or (N, H, W, C).
            step: step of the training, which determines the random numbers.
            share: (rank, world): x is this process's part of the batch; a sample's crop does not depend on the number
                of processes.
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
