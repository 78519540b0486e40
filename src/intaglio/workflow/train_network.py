"""Train a network with quantization in the forward path: calibrate, train, freeze."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from intaglio.api import DEFAULT_SAMPLES, data_steps, freeze, scored_data, shared_data
from intaglio.data import DataLike, Dataset, named_data
from intaglio.errors import UsageError
from intaglio.evaluation.metric import Metric
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.model_stages import data_for
from intaglio.frontends import load, prepare
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.plan import Plan, Step
from intaglio.plan.layer_effects import without_effect
from intaglio.processes import Processes
from intaglio.ptq.driver import quantize_graph
from intaglio.ptq.recipe import Recipe
from intaglio.quantized import Quantized
from intaglio.targets import Target, load_target
from intaglio.train.insert_batch_norm import BATCH_NORM, begin
from intaglio.train.loop import Point, RunOptions, TrainResult, TrainSettings, train
from intaglio.train.loop.loader_feed import Loader, is_loader, refuse_iterator
from intaglio.train.loop.losses import check_loss_settings, classes_of
from intaglio.train.loop.training_samples import hold_back
from intaglio.train.loop.user_loss import LossLike, UserLoss
from intaglio.train.module import QuantizedModule
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule
from intaglio.workflow.artifacts import timed

FLOAT = "float"
"""Value of `teacher` for the float network itself."""


@dataclass(frozen=True)
class Beginning:
    """Target, quantizers, calibration and teacher that a training starts with.

    Args:
        target: the hardware target.
        method, weight_method, estimator, weight_estimator: see `intaglio.prepare_qat`.
        layers: other number formats for some layers, by pattern.
        calibrator, weight_calibrator: choose the initial ranges (see `intaglio.quantize`); None: the target's own.
            `auto` is a bad start at 2 bits: the lowest output error is reached there by rounding most values to 0,
            from which training does not recover.
        samples: calibration samples; None: no calibration, initial scales come from the first batch.
        batch_norm: `revive`: insert new batch norms into a network whose own were folded (see
            `train.insert_batch_norm`); `as-is`: do not; `auto`: revive below 8 bits.
        teacher: teacher of the distillation: `float`, or an .onnx file of the same task; None: no distillation.
    """

    target: str | Path | Target = "cpu-int8"
    method: str = "lsq"
    weight_method: str | None = None
    estimator: str = "clipped"
    weight_estimator: str | None = None
    layers: Mapping[str, str] = field(default_factory=dict)
    calibrator: str | None = None
    weight_calibrator: str | None = None
    samples: int | None = DEFAULT_SAMPLES
    batch_norm: str = "auto"
    teacher: str | None = None

    def __post_init__(self) -> None:
        if self.batch_norm not in BATCH_NORM:
            raise UsageError(f"batch-norm: expected {', '.join(BATCH_NORM)}, got {self.batch_norm!r}")

    def described(self, target: Target) -> dict[str, Any]:
        """Return the settings that have to equal those of a checkpoint to resume from it."""
        return {
            "target": target.name,
            "method": self.method,
            "weight method": self.weight_method,
            "estimator": self.estimator,
            "batch norm": self.batch_norm,
            "weight estimator": self.weight_estimator,
            "teacher": self.teacher,
        }


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Args:
        graph: the float network before training.
        quantized: the frozen network.
        target: the hardware target.
        learned: the training samples.
        scored: the evaluation data, if there are any.
        metric: the metric.
        curve: loss, learning rate and score over the steps.
    """

    graph: Graph
    quantized: Quantized
    target: Target
    learned: Dataset
    scored: Dataset | None
    metric: Metric
    curve: tuple[Point, ...]


def train_network(
    load: Callable[[], Graph],
    data: DataLike | Loader,
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
    seconds: dict[str, float] | None = None,
) -> Trained:
    """Train a network and freeze it.

    Args:
        load, data, beginning, settings, loss, run_options, held_back: see `workflow.train.train_job`.
        processes: processes that share the training; each calls this function.
        eval_data, eval_limit: opened and checked before the training; not measured here.
        metric: one that is not top-k also chooses the best weights, on the validation samples.
        seconds: the time of each step is added here.
    Raises:
        IntaglioError: a step fails.
    """
    seconds = {} if seconds is None else seconds
    processes = processes or Processes()
    with timed(seconds, "load"):
        target = load_target(beginning.target)
        raw = load()
        graph = prepare(raw)
        own, chosen = None if loss is None else UserLoss(loss), metric_of(metric)
        check_loss_settings(settings, own)
        if own is None:
            classes_of(graph, settings)
        scored = None if eval_data is None else scored_data(graph, eval_data, eval_limit, chosen)
        data = named_data(data)
        learned, held, loader = _training_data(graph, data, beginning, settings, own, held_back)
    with timed(seconds, "calibrate"):
        plan, start_steps = _start(graph, target, beginning, learned, processes)
        begun = partial(
            prepare_qat,
            target=target,
            method=beginning.method,
            weight_method=beginning.weight_method,
            estimator=beginning.estimator,
            weight_estimator=beginning.weight_estimator,
            seed=settings.seed,
            plan=plan,
            layers=beginning.layers,
        )
        seen = learned.limit(beginning.samples or DEFAULT_SAMPLES)
        module, revived = begin(begun, raw, seen, beginning.batch_norm)
        start_steps += revived
        teacher = _teacher(beginning.teacher, module)
    with timed(seconds, "train"):
        result = train(
            module,
            learned if loader is None else loader,
            settings,
            loss=None if own is None else own.function,
            metric=_validating(chosen, settings, own),
            held_back=held,
            teacher=teacher,
            run_options=run_options,
            processes=processes,
            described=beginning.described(target),
        )
    quantized = freeze(module.cpu())
    steps = [Step("graph", sentence) for sentence in graph.history]
    quantized.steps = [
        *steps,
        *data_steps(learned, scored),
        *without_effect(graph, target, beginning.layers),
        *start_steps,
        _step(result, beginning, settings, own, loader),
    ]
    # Layers are compared with the trained network without rounding, not with the float network before training.
    quantized.reference = quantized.graph
    return Trained(graph, quantized, target, learned, scored, chosen, result.curve)


def _training_data(
    graph: Graph,
    data: DataLike | Loader,
    beginning: Beginning,
    settings: TrainSettings,
    own: UserLoss | None,
    held_back: int | None,
) -> tuple[Dataset, Dataset | None, Loader | None]:
    """Return training samples, validation samples, and the user's loader, if there is one.

    With a loader, the training samples are the first ones that it gave, for calibration.
    """
    if is_loader(data):
        refuse_iterator(data)
        if held_back:
            raise UsageError(
                f"held-back: expected 0 with a loader, whose samples cannot be divided, got {held_back}; measure on "
                "--eval, or give the data themselves"
            )
        some = data_for(graph, data, beginning.samples or DEFAULT_SAMPLES)
        return some.cached(), None, data
    dataset = data_for(graph, data, labels=not settings.imitates, form="classes" if own is None else "given")
    return *hold_back(dataset, held_back), None


def _validating(metric: Metric, settings: TrainSettings, own: UserLoss | None) -> Metric | None:
    """Return the metric of the validation samples; None: the usual score, as their labels do not suit the metric."""
    if settings.imitates or re.fullmatch(r"top\d+", metric.name) or (own is None and metric.labels == "numbers"):
        return None
    return metric


def _start(
    graph: Graph, target: Target, beginning: Beginning, learned: Dataset, processes: Processes
) -> tuple[Plan | None, list[Step]]:
    """Calibrate; every process observes a part of the samples, and all get the same Plan."""
    if beginning.samples is None:
        return None, []
    recipe = Recipe(
        calibrator=beginning.calibrator, weight_calibrator=beginning.weight_calibrator, layers=beginning.layers
    ).without_recovery()
    begun = quantize_graph(graph, target, shared_data(learned.limit(beginning.samples), processes), recipe)
    return begun.plan, begun.steps[len(graph.history) :]


def _teacher(name: str | None, module: QuantizedModule) -> FloatModule | None:
    if name is None:
        return None
    graph = module.graph if name == FLOAT else load(name)
    for mine, theirs in ((module.graph.inputs, graph.inputs), (module.graph.outputs, graph.outputs)):
        want, got = ([shape(v)[1:] for v in values] for values in (mine, theirs))
        if want != got:
            raise UsageError(f"teacher {name}: expected inputs and outputs of the network, {want}, got {got}")
    return FloatModule(graph)


def _step(
    result: TrainResult, beginning: Beginning, settings: TrainSettings, own: UserLoss | None, loader: Loader | None
) -> Step:
    """Describe the training as a step of the history."""
    text = f"{result.sentence()}; method {beginning.method}, {settings.optimizer}, "
    text += f"batch {result.batch}" if loader is None else "batches of your loader"
    text += "" if own is None else f", loss {own.name}"
    first = next((p.score for p in result.curve if p.score is not None), None)
    if result.best.score is None:
        return Step("training", text)
    return Step("training", text, result.best.scored, first, result.best.score, kept=True)
