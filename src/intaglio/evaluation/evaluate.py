"""Measure the accuracy of several stages on the same data, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data import Dataset
from intaglio.errors import DataError
from intaglio.evaluation.metric import Metric, targets_of
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.stage import Stage, inputs_of
from intaglio.progress import progress

if TYPE_CHECKING:  # imports PyTorch
    from intaglio.processes import Processes

Array = NDArray[Any]


KEPT_BYTES = 64 << 20
"""Memory for samples that are kept for display."""


@dataclass(frozen=True)
class Score:
    """A metric's value on some samples.

    Args:
        metric: its name.
        value: in its unit.
        samples: how many were measured.
        engine: what ran: float, simulate, reference, native.
        unit: "%", "dB" or none.
    """

    metric: str
    value: float
    samples: int
    engine: str
    unit: str = ""

    @property
    def shown(self) -> str:
        """Value with its unit; numbers without one have four significant digits."""
        return f"{self.value:.2f} {self.unit}" if self.unit else f"{self.value:.4g}"

    def to_json(self) -> dict[str, Any]:
        """Convert to what `evaluate --json` prints."""
        return {key: value for key, value in asdict(self).items() if key != "unit"} | {"value": round(self.value, 4)}


@dataclass(frozen=True, eq=False)
class Differing:
    """A sample on which the largest output of the first stage is not that of the last one.

    Args:
        number: of the sample, from 0.
        x: the first input, without the batch axis.
    """

    number: int
    x: Array


@dataclass(frozen=True)
class Evaluation:
    """Scores of several stages on the same samples, their agreement, and what they predicted.

    Args:
        metric: what was measured.
        scores: one for each stage, in order.
        agreement: percent of samples on which stage i and stage j have the same largest output, [i][j].
        predictions: index of the largest output, (stages, samples).
        finite: for each stage, whether every output was finite.
        labels: of the samples, (samples,); None where the data have targets instead.
        differing: the first samples on which the first and the last stage differ, at most `keep`.
        classes: whether predictions are classes: the metric is one of classes, and there is a score for each.
    """

    metric: Metric
    scores: tuple[Score, ...]
    agreement: NDArray[np.float64]
    predictions: NDArray[np.int64]
    finite: tuple[bool, ...]
    labels: NDArray[np.int64] | None = None
    differing: tuple[Differing, ...] = ()
    classes: bool = True


@dataclass
class _Tally:
    """Results on some samples: states of the metric, predictions, finiteness by stage; labels; samples to show."""

    states: list[Any]
    best: list[Array]
    finite: list[bool]
    labels: Array | None
    differing: list[Differing]
    width: int


def evaluate(
    stages: Sequence[Stage],
    data: Dataset,
    metric: MetricLike = "top1",
    *,
    batch: int = 64,
    label: str = "evaluate",
    keep: int = 0,
    processes: Processes | None = None,
) -> Evaluation:
    """Run every stage on the same samples and score the outputs.

    Args:
        stages: what to measure.
        data: with the labels that the metric needs.
        metric: a name of `METRICS`, a function of (outputs, targets), or another form of
            `metrics.metric_registry.MetricLike`. Predictions and agreement are about the first output.
        batch: samples at a time.
        label: for the progress bar.
        keep: most samples to return on which the first and the last stage differ; fewer where they are large.
        processes: those that share the samples; each calls this and gets the whole result.
    Raises:
        UsageError: no such metric, or a user's metric fails.
        DataError: no samples, no labels, or labels that do not fit the metric.
    """
    found = metric_of(metric).for_names(data.class_names)
    data = replace(data, targets=found.labels)
    shares = processes is not None and found.way.shares and data.length is not None
    mine = processes.part(data.length, batch) if processes is not None and data.length is not None and shares else None
    if mine is None or processes is None:
        parts = [_see(stages, data, found, batch, label, keep, 0)]
    else:
        some = data.part(mine.start, mine.stop)
        parts = processes.every(lambda: _see(stages, some, found, batch, label, keep, mine.start))
    way = found.way
    values = [way.value(way.join([p.states[i] for p in parts])) for i in range(len(stages))]
    predictions = np.stack([np.concatenate([p.best[i] for p in parts]) for i in range(len(stages))])
    samples = predictions.shape[1]
    scores = tuple(
        Score(found.name, value, samples, stage.engine, found.unit) for value, stage in zip(values, stages, strict=True)
    )
    agreement = (predictions[:, None] == predictions[None]).mean(axis=2) * 100.0
    classes = found.labels == "classes" and parts[0].width > 1
    labels = [p.labels for p in parts if p.labels is not None and classes]
    differing = [sample for p in parts for sample in p.differing]
    room = min(keep, KEPT_BYTES // max(differing[0].x.nbytes, 1)) if differing else 0
    return Evaluation(
        found,
        scores,
        agreement,
        predictions,
        tuple(all(p.finite[i] for p in parts) for i in range(len(stages))),
        np.concatenate(labels).astype(np.int64) if labels else None,
        tuple(differing[:room]),
        classes,
    )


def _see(
    stages: Sequence[Stage], data: Dataset, metric: Metric, batch: int, label: str, keep: int, number: int
) -> _Tally:
    """Run every stage on this process's samples; `number` is that of the first one."""
    states = [metric.way.begin() for _ in stages]
    best: list[list[Array]] = [[] for _ in stages]
    finite = [True] * len(stages)
    labels: list[Array] = []
    differing: list[Differing] = []
    total = None if (size := data.length) is None else -(-size // batch)
    for x, y in progress(data.batches(batch), total, label):
        if y is None:
            raise DataError(f"{data.name}: {metric} needs a label for each sample, got none")
        for i, stage in enumerate(stages):
            outputs = stage.run(*inputs_of(x))
            finite[i] &= all(bool(np.isfinite(out).all()) for out in outputs)
            states[i] = metric.way.add(states[i], outputs, targets_of(y))
            best[i].append(outputs[0].reshape(len(outputs[0]), -1).argmax(axis=1))
        first, seen = inputs_of(x)[0], number + sum(map(len, best[0][:-1]))
        if metric.labels == "classes":
            labels.append(y.reshape(len(y)))
        room = min(keep, KEPT_BYTES // max(first[0].nbytes, 1)) - len(differing)
        rows = np.flatnonzero(best[0][-1] != best[-1][-1])[: max(room, 0)]
        differing += [Differing(seen + int(row), first[row].copy()) for row in rows]
    if not best[0]:
        raise DataError(f"{data.name}: expected samples to evaluate, got none")
    all_labels = np.concatenate(labels) if labels else None
    return _Tally(states, [np.concatenate(b) for b in best], finite, all_labels, differing, outputs[0][0].size)
