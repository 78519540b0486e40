"""Train a network with quantization in its forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from intaglio.data import Dataset
from intaglio.errors import UsageError
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.processes import Processes
from intaglio.train.loop.distributed import together
from intaglio.train.loop.loader_feed import Loader
from intaglio.train.loop.losses import Teacher
from intaglio.train.loop.run_options import RunOptions, TrainResult
from intaglio.train.loop.settings import TrainSettings
from intaglio.train.loop.training_run import LastCheckpoint, TrainingRun
from intaglio.train.loop.user_loss import LossLike, UserLoss
from intaglio.train.module import QuantizedModule


def train(
    module: QuantizedModule,
    data: Dataset | Loader,
    settings: TrainSettings | None = None,
    *,
    loss: LossLike | None = None,
    metric: MetricLike | None = None,
    held_back: Dataset | None = None,
    teacher: nn.Module | Teacher | None = None,
    run_options: RunOptions | None = None,
    processes: Processes | None = None,
    described: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a network with quantization in its forward pass.

    On one process of one machine the result is deterministic, bit for bit, also if the training is interrupted and
    resumed. PyTorch, NumPy and Python are seeded.

    Args:
        module: module from `prepare_qat`. At the end it has the parameters of the best evaluation and is in evaluation
            mode.
        data: training samples, matched to the network (see `intaglio.data.match`); or your own loader: an iterable of
            batches (inputs, targets), such as a torch DataLoader, or a function that returns one. A loader is read anew
            in each epoch; order, augmentation and batch size are its own.
        settings: training settings.
        loss: function `f(outputs, targets) -> tensor` in place of cross-entropy, a `torch.nn.Module`, or
            "package.module:name". `outputs` is a float32 tensor, or a tuple of them for several outputs; `targets` are
            those of the data, whole numbers as int64 and others as float32. The network need not be a classifier.
        metric: score on the validation samples, in a form that `intaglio.evaluate` takes; None: top-1, the loss if it
            is yours, or SQNR without labels.
        held_back: validation samples, evaluated after each epoch; None: the last parameters are kept.
        teacher: teacher of the distillation, from inputs to scores.
        run_options: checkpoints, progress, logs.
        processes: processes that share the training; each calls this function with the same arguments. Default: one.
        described: further settings that have to equal those of a checkpoint, by name.
    Raises:
        DataError: labels out of range, samples that do not fit, or a batch of one with trainable batch norm.
        UsageError: invalid settings, a loader that can be read only once, a loss that fails, or a checkpoint of another
            training.
        TrainingError: the loss is NaN or infinite, a scale has collapsed, or a process has died; the last checkpoint
            is kept.
    """
    if not isinstance(module, QuantizedModule):
        raise UsageError(
            f"train: expected a module of prepare_qat, got {type(module).__name__}; call "
            "intaglio.prepare_qat(module, example_inputs, target) first"
        )
    if not isinstance(settings, TrainSettings | None):
        raise UsageError(
            f"train: expected TrainSettings, got {type(settings).__name__}; give TrainSettings(epochs=2, lr=0.01)"
        )
    settings, run_options = settings or TrainSettings(), run_options or RunOptions()
    kept = LastCheckpoint(run_options.path)
    with together(kept):
        return TrainingRun(
            module,
            data,
            settings,
            None if loss is None else UserLoss(loss),
            None if metric is None else metric_of(metric),
            held_back,
            teacher,
            run_options,
            processes or Processes(),
            described or {},
            kept,
        ).run()
