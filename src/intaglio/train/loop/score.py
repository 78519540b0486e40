"""Score a network in training on validation samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from intaglio.evaluation.sqnr import SignalToNoise
from intaglio.train.loop.distributed import World
from intaglio.train.loop.feed import Feed
from intaglio.train.loop.losses import Teacher, as_tuple
from intaglio.train.loop.training_samples import Batch, TrainingSamples
from intaglio.train.module import QuantizedModule

_AT_A_TIME = 256


class TrainingScore:
    """Validation score: top-1 in percent with labels, otherwise SQNR of the outputs against the teacher's.

    Args:
        samples: validation samples.
        feed: moves them to the network's device.
        world: processes that share the samples.
        teacher: needed without labels.
    """

    def __init__(self, samples: TrainingSamples, feed: Feed, world: World, teacher: Teacher | None) -> None:
        self.samples, self.feed, self.world, self.teacher = samples, feed, world, teacher

    @property
    def metric(self) -> str:
        """Name of the score (see `curve.METRICS`)."""
        return "sqnr" if self.samples.labels is None else "top1"

    @torch.no_grad()
    def __call__(self, module: QuantizedModule) -> float:
        """Return the score in float32 and evaluation mode; sets the module back to training mode."""
        module.eval()
        found = self._sqnr(module) if self.samples.labels is None else self._top1(module)
        module.train()
        return found

    def _batches(self) -> Iterator[Batch]:
        for x, labels in self.samples.batches(_AT_A_TIME, self.world.share):
            yield self.feed.placed(x), labels

    def _top1(self, module: QuantizedModule) -> float:
        hits = 0
        for x, labels in self._batches():
            assert labels is not None
            best = as_tuple(module(*x))[0].reshape(len(labels), -1).argmax(1)
            hits += int((best.cpu() == labels).sum())
        return 100.0 * self.world.summed(hits)[0] / len(self.samples)

    def _sqnr(self, module: QuantizedModule) -> float:
        assert self.teacher is not None
        names = [str(value.name) for value in module.graph.outputs]
        found = SignalToNoise(names)
        for x, _ in self._batches():
            wanted, got = as_tuple(self.teacher(*x)), as_tuple(module(*x))
            found.add(dict(zip(names, wanted, strict=True)), dict(zip(names, got, strict=True)), len(x[0]))
        sums = found.sums()
        total = np.asarray(self.world.summed(*sums.ravel().tolist())).reshape(sums.shape)
        return SignalToNoise.from_sums(names, total).sqnr
