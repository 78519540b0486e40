"""Score a network in training on validation samples."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from intaglio.evaluation.metric import Metric, targets_of
from intaglio.evaluation.sqnr import SignalToNoise
from intaglio.processes import Processes
from intaglio.train.loop.distributed import World
from intaglio.train.loop.feed import Feed
from intaglio.train.loop.loader_feed import LoaderFeed
from intaglio.train.loop.losses import Loss, as_tuple
from intaglio.train.loop.training_samples import Batch, TrainingSamples
from intaglio.train.module import QuantizedModule

_AT_A_TIME = 256
LOSS = "loss"
"""Name of the score of a training with a user's loss and no metric: that loss; lower is better."""


class TrainingScore:
    """Validation score: the user's metric; else top-1 with labels, a user's loss, or SQNR against the teacher.

    Args:
        samples: validation samples.
        feed: moves them to the network's device.
        world: processes that share the samples.
        loss: the training's loss, with its teacher.
        chosen: the user's metric.
        processes: the same processes as `world`.
    """

    def __init__(
        self,
        samples: TrainingSamples,
        feed: Feed | LoaderFeed,
        world: World,
        loss: Loss,
        chosen: Metric | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.samples, self.feed, self.world, self.loss = samples, feed, world, loss
        self.chosen, self.processes = chosen, processes or Processes()

    @property
    def metric(self) -> str:
        """Name of the score (see `curve.METRICS`)."""
        if self.samples.labels is None:
            return "sqnr"
        if self.chosen is not None:
            return self.chosen.name
        return "top1" if self.loss.own is None else LOSS

    @property
    def higher_is_better(self) -> bool:
        """Whether larger scores are better."""
        return self.metric != LOSS if self.chosen is None else self.chosen.higher_is_better

    def not_worse(self, score: float, other: float) -> bool:
        """Return whether a score is at least as good as another one."""
        return score >= other if self.higher_is_better else score <= other

    @torch.no_grad()
    def __call__(self, module: QuantizedModule) -> float:
        """Return the score in float32 and evaluation mode; sets the module back to training mode."""
        module.eval()
        by_name = {"sqnr": self._sqnr, "top1": self._top1, LOSS: self._loss}
        score = by_name[self.metric] if self.chosen is None or self.samples.labels is None else self._metric
        found = score(module)
        module.train()
        return found

    def _batches(self, share: tuple[int, int] | None = None) -> Iterator[Batch]:
        for x, labels in self.samples.batches(_AT_A_TIME, share or self.world.share):
            yield self.feed.given((x, labels), 0) if self.loss.own is not None else (self.feed.placed(x), labels)

    def _top1(self, module: QuantizedModule) -> float:
        hits = 0
        for x, labels in self._batches():
            assert labels is not None
            best = as_tuple(module(*x))[0].reshape(len(labels), -1).argmax(1)
            hits += int((best.cpu() == labels).sum())
        return 100.0 * self.world.summed(hits)[0] / len(self.samples)

    def _loss(self, module: QuantizedModule) -> float:
        total = 0.0
        for x, targets in self._batches():
            total += float(self.loss.labelled(module(*x), targets)) * len(x[0])
        return self.world.summed(total)[0] / len(self.samples)

    def _metric(self, module: QuantizedModule) -> float:
        assert self.chosen is not None
        metric = self.chosen.for_names(self.samples.data.class_names)
        state, way = metric.way.begin(), metric.way
        for x, targets in self._batches(self.world.share if way.shares else (0, 1)):
            outputs = tuple(y.float().cpu().numpy() for y in as_tuple(module(*x)))
            state = way.add(state, outputs, _arrays(targets))
        value = way.value(way.join(self.processes.gather(state)) if way.shares else state)
        if not math.isfinite(value):
            return -math.inf if metric.higher_is_better else math.inf
        return value

    def _sqnr(self, module: QuantizedModule) -> float:
        teacher = self.loss.teacher
        assert teacher is not None
        names = [str(value.name) for value in module.graph.outputs]
        found = SignalToNoise(names)
        for x, _ in self._batches():
            wanted, got = as_tuple(teacher(*x)), as_tuple(module(*x))
            found.add(dict(zip(names, wanted, strict=True)), dict(zip(names, got, strict=True)), len(x[0]))
        sums = found.sums()
        total = np.asarray(self.world.summed(*sums.ravel().tolist())).reshape(sums.shape)
        return SignalToNoise.from_sums(names, total).sqnr


def _arrays(targets: object) -> object:
    """Convert tensors within lists and dicts to arrays, as metrics get them."""
    if isinstance(targets, torch.Tensor):
        return targets_of(targets.cpu().numpy())
    if isinstance(targets, dict):
        return {key: _arrays(value) for key, value in targets.items()}
    return [_arrays(value) for value in targets] if isinstance(targets, list | tuple) else targets
