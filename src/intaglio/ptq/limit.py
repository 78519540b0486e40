"""The limit of a recipe search: allowed loss of accuracy, and the data to measure it on."""

from __future__ import annotations

import os
from dataclasses import dataclass

from intaglio.data import DataLike


@dataclass(frozen=True)
class LossLimit:
    """The allowed loss of accuracy, and how it is measured and reached.

    Args:
        max_drop: points of `metric` that the integer program may lose against float (of mse: growth in percent).
        eval_data: labelled data on which every recipe is measured.
        metric: top1, top5 or mse.
        work: a folder that keeps measurements, so that an interrupted search continues.
        train_data: labelled data for a last stage: training with quantization in the forward path; None: no training.
        train_epochs, train_steps: length of the training; two passes over the data by default.
    """

    max_drop: float
    eval_data: DataLike | None = None
    metric: str = "top1"
    work: str | os.PathLike[str] | None = None
    train_data: DataLike | None = None
    train_epochs: float | None = None
    train_steps: int | None = None
