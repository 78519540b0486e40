"""The limit of a recipe search: allowed loss of accuracy, and the data to measure it on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from intaglio.data import DataLike
from intaglio.evaluation.metrics.metric_registry import MetricLike


@dataclass(frozen=True)
class LossLimit:
    """The allowed loss of accuracy, and how it is measured and reached.

    Args:
        max_drop: how much the integer program may lose against float, in the unit of `metric`: a fall, or a rise where
            lower is better (of mse: growth in percent).
        eval_data: labelled data on which every recipe is measured.
        metric: a name of `METRICS`, a function `f(outputs, targets) -> float`, or another form that `intaglio.evaluate`
            takes.
        work: a folder that keeps measurements, so that an interrupted search continues.
        train_data: labelled data for a last stage: training with quantization in the forward path; None: no training.
        train_epochs, train_steps: length of the training; two passes over the data by default.
        train_loss: function `f(outputs, targets) -> tensor` in place of cross-entropy, or "package.module:name" (see
            `intaglio.train.loop.train`).
        higher_is_better: whether larger values of a function or object are better; None: its attribute of that name,
            or True where it has none.
    """

    max_drop: float
    eval_data: DataLike | None = None
    metric: MetricLike = "top1"
    work: str | os.PathLike[str] | None = None
    train_data: DataLike | None = None
    train_epochs: float | None = None
    train_steps: int | None = None
    higher_is_better: bool | None = None
    train_loss: Any = None
