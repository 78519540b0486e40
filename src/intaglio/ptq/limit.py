"""How much of a network's accuracy may be lost, and where it is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass

from intaglio.data import DataLike


@dataclass(frozen=True)
class LossLimit:
    """An allowed loss of accuracy.

    Args:
        max_drop: so many points of `metric` the integer program may lose against float (of mse: percent of growth).
        eval_data: labelled data on which every recipe is measured.
        metric: top1, top5 or mse.
        work: a folder in which an interrupted search keeps what it has measured, to go on from.
        train_data: labelled data for a last stage: training with quantization in the forward path; None: there is none.
        train_epochs, train_steps: for how long; two passes over the data by default.
    """

    max_drop: float
    eval_data: DataLike | None = None
    metric: str = "top1"
    work: str | os.PathLike[str] | None = None
    train_data: DataLike | None = None
    train_epochs: float | None = None
    train_steps: int | None = None
