"""Measure the accuracy of several stages on the same data, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data import Dataset
from intaglio.errors import DataError, UsageError
from intaglio.evaluation.stage import Stage, inputs_of
from intaglio.progress import progress

if TYPE_CHECKING:  # imports PyTorch
    from intaglio.processes import Processes

Array = NDArray[Any]


def _top(k: int) -> Callable[[Array, Array], Array]:
    def hits(y: Array, label: Array) -> Array:
        scores = y.reshape(len(y), -1)
        if int(label.max(initial=0)) >= scores.shape[1]:
            raise DataError(
                f"labels: expected classes below {scores.shape[1]} (the model's output), got {int(label.max())}"
            )
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        found: Array = (best == label.reshape(-1, 1)).any(axis=1) * 100.0
        return found

    return hits


def _squared_error(y: Array, target: Array) -> Array:
    if y.shape != target.shape:
        raise DataError(f"targets: expected shape {y.shape} (the model's output), got {target.shape}")
    error: Array = np.square(y.astype(np.float64) - target).reshape(len(y), -1).mean(axis=1)
    return error


KEPT_BYTES = 64 << 20
"""Memory for samples that are kept for display."""

METRICS: dict[str, Callable[[Array, Array], Array]] = {"top1": _top(1), "top5": _top(5), "mse": _squared_error}
"""Per-sample scores by metric name: percent for top1 and top5, squared error for mse."""
TARGETED = ("mse",)
"""Metrics that compare outputs with real numbers instead of class indices; less is better."""


@dataclass(frozen=True)
class Score:
    """A metric's mean over samples.

    Args:
        metric: its name.
        value: in percent for top1 and top5.
        samples: how many were measured.
        engine: what ran: float, simulate, reference, native.
    """

    metric: str
    value: float
    samples: int
    engine: str

    def to_json(self) -> dict[str, Any]:
        """Convert to what `evaluate --json` prints."""
        return {**asdict(self), "value": round(self.value, 4)}


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
        scores: one for each stage, in order.
        agreement: percent of samples on which stage i and stage j have the same largest output, [i][j].
        predictions: index of the largest output, (stages, samples).
        finite: for each stage, whether every output was finite.
        labels: of the samples, (samples,); None where the data have targets instead.
        differing: the first samples on which the first and the last stage differ, at most `keep`.
    """

    scores: tuple[Score, ...]
    agreement: NDArray[np.float64]
    predictions: NDArray[np.int64]
    finite: tuple[bool, ...]
    labels: NDArray[np.int64] | None = None
    differing: tuple[Differing, ...] = ()


@dataclass
class _Tally:
    """Results on some samples: scores, predictions, finiteness by stage; labels; samples to show."""

    hits: list[Array]
    best: list[Array]
    finite: list[bool]
    labels: Array | None
    differing: list[Differing]


def evaluate(
    stages: Sequence[Stage],
    data: Dataset,
    metric: str = "top1",
    *,
    batch: int = 64,
    label: str = "evaluate",
    keep: int = 0,
    processes: Processes | None = None,
) -> Evaluation:
    """Run every stage on the same samples and score the outputs.

    Args:
        stages: what to measure; the first output counts.
        data: with labels (top1, top5) or targets (mse).
        metric: a name of `METRICS`.
        batch: samples at a time.
        label: for the progress bar.
        keep: most samples to return on which the first and the last stage differ; fewer where they are large.
        processes: those that share the samples; each calls this and gets the whole result.
    Raises:
        UsageError: no such metric.
        DataError: no samples, no labels, or labels beyond the model's classes.
    """
    if metric not in METRICS:
        raise UsageError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    mine = None if processes is None or data.length is None else processes.part(data.length, batch)
    if mine is None or processes is None:
        parts = [_see(stages, data, metric, batch, label, keep, 0)]
    else:
        some = data.part(mine.start, mine.stop)
        parts = processes.every(lambda: _see(stages, some, metric, batch, label, keep, mine.start))
    values = [np.concatenate([p.hits[i] for p in parts]) for i in range(len(stages))]
    predictions = np.stack([np.concatenate([p.best[i] for p in parts]) for i in range(len(stages))])
    scores = tuple(Score(metric, float(v.mean()), len(v), s.engine) for v, s in zip(values, stages, strict=True))
    agreement = (predictions[:, None] == predictions[None]).mean(axis=2) * 100.0
    labels = [p.labels for p in parts if p.labels is not None]
    differing = [sample for p in parts for sample in p.differing]
    room = min(keep, KEPT_BYTES // max(differing[0].x.nbytes, 1)) if differing else 0
    return Evaluation(
        scores,
        agreement,
        predictions,
        tuple(all(p.finite[i] for p in parts) for i in range(len(stages))),
        np.concatenate(labels).astype(np.int64) if labels else None,
        tuple(differing[:room]),
    )


def _see(stages: Sequence[Stage], data: Dataset, metric: str, batch: int, label: str, keep: int, number: int) -> _Tally:
    """Run every stage on this process's samples; `number` is that of the first one."""
    hits: list[list[Array]] = [[] for _ in stages]
    best: list[list[Array]] = [[] for _ in stages]
    finite = [True] * len(stages)
    labels: list[Array] = []
    differing: list[Differing] = []
    total = None if (size := data.length) is None else -(-size // batch)
    for x, y in progress(data.batches(batch), total, label):
        if y is None:
            raise DataError(f"{data.name}: {metric} needs a label for each sample, got none")
        for i, stage in enumerate(stages):
            out = stage.run(*inputs_of(x))[0]
            finite[i] &= bool(np.isfinite(out).all())
            hits[i].append(METRICS[metric](out, y))
            best[i].append(out.reshape(len(out), -1).argmax(axis=1))
        first, seen = inputs_of(x)[0], number + sum(map(len, best[0][:-1]))
        if metric.startswith("top"):
            labels.append(y.reshape(len(y)))
        room = min(keep, KEPT_BYTES // max(first[0].nbytes, 1)) - len(differing)
        rows = np.flatnonzero(best[0][-1] != best[-1][-1])[: max(room, 0)]
        differing += [Differing(seen + int(row), first[row].copy()) for row in rows]
    if not hits[0]:
        raise DataError(f"{data.name}: expected samples to evaluate, got none")
    all_labels = np.concatenate(labels) if labels else None
    return _Tally([np.concatenate(h) for h in hits], [np.concatenate(b) for b in best], finite, all_labels, differing)
