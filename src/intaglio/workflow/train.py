"""The job of `intaglio train`: load, calibrate, train, freeze, measure, write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from intaglio.data import DataLike
from intaglio.evaluation.metrics.metric_registry import MetricLike
from intaglio.graph import Graph
from intaglio.processes import Processes
from intaglio.train.loop import RunOptions, TrainSettings
from intaglio.train.loop.loader_feed import Loader
from intaglio.train.loop.user_loss import LossLike
from intaglio.workflow.artifacts import Destination, write_artifacts
from intaglio.workflow.train_network import Beginning, train_network


def train_job(
    load: Callable[[], Graph],
    data: DataLike | Loader,
    folder: Path,
    beginning: Beginning,
    settings: TrainSettings,
    *,
    loss: LossLike | None = None,
    run_options: RunOptions | None = None,
    processes: Processes | None = None,
    held_back: int | None = None,
    eval_data: DataLike | None = None,
    eval_limit: int | None = None,
    metric: MetricLike = "top1",
    source: Path | None = None,
    show: TextIO | None = None,
) -> dict[str, Any]:
    """Train a network, freeze it, lower it, measure it and write all output files.

    Args:
        load: returns the Graph before any pass, so that batch norms are not folded.
        data: training samples; labels are needed unless the loss is distillation alone. A DataLoader, or another
            iterable of batches without indices, is read anew in each epoch (see `train.loop.train`).
        folder: output folder (files: see `Destination`); only rank 0 writes.
        beginning: target, quantizers, calibration and teacher.
        settings: training settings.
        loss: a user's loss in place of cross-entropy (see `train.loop.train`).
        run_options: checkpoints, progress, logs.
        processes: processes that share the training; each calls this function.
        held_back: validation samples taken from `data`, which choose the best weights; None: 2,000, at most a tenth;
            0: none, the last weights are kept; always with a loader.
        eval_data, eval_limit, metric: labelled evaluation data, how many samples of them, and the metric; one that
            is not top-k also chooses the best weights, on the validation samples.
        source: file of the float model, whose size is reported.
        show: stream for printed tables; None prints nothing.
    Returns:
        The content of summary.json; an empty dictionary on ranks other than 0.
    Raises:
        IntaglioError: a step fails. Files written until then are left to the caller.
    """
    seconds: dict[str, float] = {}
    processes = processes or Processes()
    trained = train_network(
        load,
        data,
        beginning,
        settings,
        loss=loss,
        run_options=run_options,
        processes=processes,
        held_back=held_back,
        eval_data=eval_data,
        eval_limit=eval_limit,
        metric=metric,
        seconds=seconds,
    )
    destination = Destination(
        folder,
        trained.target,
        trained.scored,
        trained.metric,
        source=source,
        show=show,
        seconds=seconds,
        processes=processes,
    )
    return write_artifacts(trained.graph, trained.quantized, trained.learned, destination, trained.curve)
