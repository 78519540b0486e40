"""What a network in training reaches on the samples held back."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from intaglio.train.loop.feed import Feed
from intaglio.train.loop.losses import Teacher, as_tuple
from intaglio.train.loop.samples import Batch, Samples
from intaglio.train.loop.world import World
from intaglio.train.module import QuantizedModule

_AT_A_TIME = 256


class Score:
    """Top-1 in percent where labels tell; else how little the outputs differ from the teacher's, SQNR in dB.

        SQNR = 10 log10( sum (t - mean t)**2 / sum (y - t)**2 ), averaged over outputs

    Args:
        samples: held back.
        feed: puts them where the network is.
        world: the processes that share them.
        teacher: needed where there are no labels.
    """

    def __init__(self, samples: Samples, feed: Feed, world: World, teacher: Teacher | None) -> None:
        self.samples, self.feed, self.world, self.teacher = samples, feed, world, teacher

    @property
    def metric(self) -> str:
        """Its name (see `curve.METRICS`)."""
        return "sqnr" if self.samples.labels is None else "top1"

    @torch.no_grad()
    def __call__(self, module: QuantizedModule) -> float:
        """The score in float32 and evaluation mode; afterwards the module trains."""
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
        outputs = len(module.graph.outputs)
        sums = torch.zeros((outputs, 4), dtype=torch.float64)
        for x, _ in self._batches():
            for row, y, t in zip(sums, as_tuple(module(*x)), as_tuple(self.teacher(*x)), strict=True):
                y, t = y.double(), t.double()
                row += torch.stack(
                    [torch.tensor(float(t.numel())), t.sum(), t.square().sum(), (y - t).square().sum()]
                ).cpu()
        ratios = []
        for n, total, square, error in (
            torch.tensor(self.world.summed(*sums.flatten().tolist())).view(outputs, 4).tolist()
        ):
            signal = max(square - total * total / n, 0.0)
            ratios.append(10 * math.log10(max(signal, 1e-30) / max(error, 1e-30)))
        return sum(ratios) / len(ratios)
