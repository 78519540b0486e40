"""Train a network with quantization in the forward path in one call: `intaglio.train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from intaglio.data import DataLike
from intaglio.evaluation.metrics.metric_registry import MetricLike
from intaglio.frontends import Model, load_unprepared
from intaglio.graph import Graph
from intaglio.module_inputs import first_sample, knows_its_inputs, refuse_in_training
from intaglio.plan.layers import with_ignored
from intaglio.quantized import Quantized
from intaglio.targets import Target
from intaglio.train.loop import RunOptions, TrainSettings
from intaglio.train.loop.loader_feed import Loader
from intaglio.train.loop.user_loss import LossLike
from intaglio.workflow.train_network import Beginning, train_network

if TYPE_CHECKING:
    from torch.export import ExportedProgram

DISTILL = 0.5
"""Weight of the distillation loss beside a teacher."""


def train(
    model: Model | Graph | nn.Module | ExportedProgram,
    data: DataLike | Loader,
    target: str | Path | Target = "cpu-int8",
    *,
    example_inputs: Any = None,
    settings: TrainSettings | None = None,
    run_options: RunOptions | None = None,
    loss: LossLike | None = None,
    metric: MetricLike = "top1",
    held_back: int | None = None,
    ignored: str | Sequence[str] = (),
    **choices: Any,
) -> Quantized:
    """Train a network with quantization in its forward path, and freeze it, as the command `intaglio train` does.

    The network is calibrated and trained; the weights of the best evaluation on validation samples are kept. Your own
    training loop instead: `prepare_qat` and `freeze`. A `torch.nn.Module` that is given is not changed.

    Args:
        model: from `intaglio.load`, or what it takes: a path, a `torch.nn.Module`, a `torch.export.ExportedProgram`;
            better with its batch norms, which go on learning.
        data: labelled training samples (see `intaglio.data.open_data`); labels are not needed where the loss is
            distillation alone. A DataLoader is read anew in each epoch.
        target: a built-in name, a TOML file, or a Target.
        example_inputs: for a module: inputs that it can be called with. None: the first sample of `data`.
        settings: training settings (see `intaglio.train.loop.TrainSettings`).
        run_options: checkpoints, progress, device (see `intaglio.train.loop.RunOptions`).
        loss: your own loss of (outputs, targets) in place of cross-entropy.
        metric: one that is not top-k also chooses the best weights, on the validation samples.
        held_back: validation samples taken from `data`; None: 2,000, at most a tenth; 0: keep the last weights.
        ignored: layers that keep the most bits of the target, as for `intaglio.quantize`.
        choices: fields of `TrainSettings` by name (`epochs=2`, `steps=500`, `lr=1e-3`), and how the training begins:
            `method`, `weight_method`, `estimator`, `weight_estimator`, `layers` as for `intaglio.prepare_qat`;
            `calibrator`, `weight_calibrator` and `samples` of the calibration; `batch_norm` ("auto", "revive",
            "as-is"); `teacher` ("float" or an .onnx file), whose weight `distill` is then 0.5.
    Returns:
        The trained network, as `intaglio.quantize` returns one: `lower`, `save`, `export`, `report`.
    Raises:
        TypeError: an unknown choice, or one of `TrainSettings` beside `settings`.
        DataError, UsageError: the data do not fit or have no labels; a setting is out of range; the training diverges.
    """
    refuse_in_training(model)
    beginning = _beginning(target, ignored, choices)
    settings = _settings(settings, beginning, choices)
    if choices:
        known = sorted({f.name for cls in (Beginning, TrainSettings) for f in fields(cls)} - {"target"})
        raise TypeError(f"train: expected choices among {', '.join(known)}, got {', '.join(choices)}")
    if isinstance(model, nn.Module) and example_inputs is None and not knows_its_inputs(model):
        opened, example_inputs = first_sample(model, data)
        data = opened if opened.once else data
    return train_network(
        partial(load_unprepared, model, example_inputs),
        data,
        beginning,
        settings,
        loss=loss,
        run_options=run_options,
        held_back=held_back,
        metric=metric,
    ).quantized


def _beginning(target: str | Path | Target, ignored: str | Sequence[str], choices: dict[str, Any]) -> Beginning:
    """Take from the choices those of the beginning."""
    own = {f.name: choices.pop(f.name) for f in fields(Beginning) if f.name in choices and f.name != "target"}
    layers = with_ignored(own.pop("layers", None), ignored)
    return Beginning(target, layers=layers, **own)


def _settings(given: TrainSettings | None, beginning: Beginning, choices: dict[str, Any]) -> TrainSettings:
    """Take from the choices those of the settings."""
    own = {f.name: choices.pop(f.name) for f in fields(TrainSettings) if f.name in choices}
    if given is not None:
        if own:
            raise TypeError(
                f"train: expected settings or its fields, got both: {', '.join(own)}; put them into settings"
            )
        return given
    if beginning.teacher is not None:
        own.setdefault("distill", DISTILL)
    if isinstance(own.get("augment"), str):
        own["augment"] = tuple(name for name in own["augment"].split(",") if name)
    return TrainSettings(**own)
