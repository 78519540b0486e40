"""Provide training batches: shuffled, augmented, on the device and in the memory layout of the network."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from intaglio.train.loop.augment import Augmentation
from intaglio.train.loop.settings import TrainSettings
from intaglio.train.loop.training_samples import Batch, ShuffledOrder, TrainingSamples
from intaglio.train.loop.user_loss import placed_targets

Inputs = tuple[Tensor, ...]


class Feed:
    """Batches of a training, deterministic for equal settings.

    Args:
        samples: training samples.
        settings: batch size, seed, augmentation, memory layout.
        device: device of the network.
        share: (rank, world): this process's part of each batch.
        workers: processes that load data in the background.
    Raises:
        UsageError: augmentation of samples that are not images.
    """

    def __init__(
        self,
        samples: TrainingSamples,
        settings: TrainSettings,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
        *,
        workers: int = 0,
    ) -> None:
        self.samples, self.settings, self.device, self.share, self.workers = samples, settings, device, share, workers
        shape = tuple(samples[[0]][0][0].shape[1:])
        self.augment = Augmentation(settings.augment, shape, pad=settings.pad, seed=settings.seed)

    def batches(self, first: int, stop: int) -> DataLoader[Batch]:
        """Load this process's parts of the batches of steps `first` to `stop - 1`."""
        generator = torch.Generator()  # a private one: DataLoader draws a number at each start, also when resumed
        order = self._order(first, stop, self.share)
        return DataLoader(self.samples, batch_size=None, sampler=order, generator=generator, num_workers=self.workers)

    def given(self, batch: Batch, step: int) -> Batch:
        """Augment a batch and move it to the device."""
        (x, *others), labels = batch
        inputs = self.placed((self.augment(x, step, self.share), *others))
        return inputs, placed_targets(labels, self.device)

    def first(self) -> Inputs:
        """Return the whole first batch, on every process."""
        x, *others = self.samples[next(iter(self._order(0, 1, (0, 1))))][0]
        return self.placed((self.augment(x, 0), *others))

    def plain(self, count: int) -> Iterator[tuple[Inputs]]:
        """Yield the inputs of the first `count` steps without augmentation."""
        for numbers in self._order(0, count, self.share):
            yield (self.placed(self.samples[numbers][0]),)

    def placed(self, inputs: Inputs) -> Inputs:
        """Move inputs to the device, in the memory layout of the settings."""
        return placed(inputs, self.device, self.settings)

    def _order(self, first: int, stop: int, share: tuple[int, int]) -> ShuffledOrder:
        rank, world = share
        settings = self.settings
        return ShuffledOrder(
            len(self.samples), settings.batch_for(len(self.samples)), settings.seed, first, stop, rank=rank, world=world
        )


def placed(inputs: Inputs, device: torch.device, settings: TrainSettings) -> Inputs:
    """Move inputs to a device, in the memory layout of the settings."""
    return tuple(
        x.to(device, memory_format=torch.channels_last)
        if settings.channels_last and x.ndim == 4
        else x.to(device).contiguous()
        for x in inputs
    )
