"""`intaglio train`, step by step: load, calibrate, train, freeze, measure, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from intaglio.api import DEFAULT_SAMPLES, freeze, scored_data, shared_data
from intaglio.data import DataLike, Dataset
from intaglio.errors import UsageError
from intaglio.evaluation.model_stages import data_for
from intaglio.frontends import load_onnx, prepare
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.plan import Plan, Step
from intaglio.processes import Processes
from intaglio.ptq.driver import quantize_graph
from intaglio.ptq.recipe import Recipe
from intaglio.targets import Target, load_target
from intaglio.train.insert_batch_norm import BATCH_NORM, begin
from intaglio.train.loop import RunOptions, TrainResult, TrainSettings, train
from intaglio.train.loop.losses import classes_of
from intaglio.train.loop.training_samples import hold_back
from intaglio.train.module import QuantizedModule
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule
from intaglio.workflow.artifacts import Destination, timed, write_artifacts

FLOAT = "float"
"""The teacher that is the float network itself."""


@dataclass(frozen=True)
class Beginning:
    """What a training begins with.

    Args:
        target: what the hardware has.
        method, weight_method, estimator, weight_estimator: see `intaglio.prepare_qat`.
        layers: other formats for some layers.
        calibrator, weight_calibrator: of the grids that it begins with (see `intaglio.quantize`); None for the
            target's own, which suit each format: the least error of the outputs, by which `auto` chooses, is reached
            at two bits by rounding most values to 0, and nothing is learned from there.
        samples: to calibrate on; None: begin with what is seen first.
        batch_norm: `revive`: a network without live batch norms gets new ones (see `train.insert_batch_norm`); `as-is`:
            it does not; `auto`: below 8 bits it does.
        teacher: of distillation: `float`, or an .onnx file of the same task; None: none.
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
        """What a checkpoint has to agree in."""
        return {
            "target": target.name,
            "method": self.method,
            "weight method": self.weight_method,
            "estimator": self.estimator,
            "batch norm": self.batch_norm,
            "weight estimator": self.weight_estimator,
            "teacher": self.teacher,
        }


def train_job(
    load: Callable[[], Graph],
    data: DataLike,
    folder: Path,
    beginning: Beginning,
    settings: TrainSettings,
    *,
    run_options: RunOptions | None = None,
    processes: Processes | None = None,
    held_back: int | None = None,
    eval_data: DataLike | None = None,
    eval_limit: int | None = None,
    metric: str = "top1",
    source: Path | None = None,
    show: TextIO | None = None,
) -> dict[str, Any]:
    """Train a network, freeze it, lower it, measure it and write every result.

    Args:
        load: gives the Graph as the front end reads it, batch norms and all.
        data: samples, labelled unless the teacher alone is learned from.
        folder: gets what `quantize_job` writes; only rank 0 writes.
        beginning: target, method, start.
        settings: of the training.
        run_options: checkpoints, progress, logs.
        processes: that share the training; each of them calls this.
        held_back: of the data, to choose the best evaluation on; None: 2,000, or a tenth where that is less; 0: the
            last step is kept.
        eval_data, eval_limit, metric: what to measure float, simulated and integer accuracy on, if anything.
        source: the model's file, for its size.
        show: where tables are printed; None for nowhere.
    Returns:
        What summary.json holds; nothing on other ranks than 0.
    Raises:
        IntaglioError: whatever step fails; the caller owns the folder.
    """
    seconds: dict[str, float] = {}
    processes = processes or Processes()
    with timed(seconds, "load"):
        target = load_target(beginning.target)
        raw = load()
        graph = prepare(raw)
        classes_of(graph, settings)
        dataset = data_for(graph, data, labels=not settings.imitates)
        scored = None if eval_data is None else scored_data(graph, eval_data, eval_limit, metric)
        learned, held = hold_back(dataset, held_back)
    with timed(seconds, "calibrate"):
        plan, told = _start(graph, target, beginning, learned, processes)
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
        told += revived
        teacher = _teacher(beginning.teacher, module)
    with timed(seconds, "train"):
        result = train(
            module,
            learned,
            settings,
            held_back=held,
            teacher=teacher,
            run_options=run_options,
            processes=processes,
            described=beginning.described(target),
        )
    quantized = freeze(module.cpu())
    steps = [Step("graph", sentence) for sentence in graph.history]
    quantized.steps = [*steps, *told, _step(result, beginning, settings)]
    # The weights are trained to be rounded: what the layers are compared with is the network as it would be without.
    quantized.reference = quantized.graph
    destination = Destination(
        folder, target, scored, metric, source=source, show=show, seconds=seconds, processes=processes
    )
    return write_artifacts(graph, quantized, learned, destination, result.curve)


def _start(
    graph: Graph, target: Target, beginning: Beginning, learned: Dataset, processes: Processes
) -> tuple[Plan | None, list[Step]]:
    """The calibrated Plan, the same on every process, each of which observes its part of the samples."""
    if beginning.samples is None:
        return None, []
    recipe = Recipe(
        calibrator=beginning.calibrator, weight_calibrator=beginning.weight_calibrator, layers=beginning.layers
    ).without_recovery()
    outcome = quantize_graph(graph, target, shared_data(learned.limit(beginning.samples), processes), recipe)
    return outcome.plan, outcome.steps[len(graph.history) :]


def _teacher(name: str | None, module: QuantizedModule) -> FloatModule | None:
    if name is None:
        return None
    graph = module.graph if name == FLOAT else prepare(load_onnx(name))
    for mine, theirs in ((module.graph.inputs, graph.inputs), (module.graph.outputs, graph.outputs)):
        want, got = ([shape(v)[1:] for v in values] for values in (mine, theirs))
        if want != got:
            raise UsageError(f"teacher {name}: expected inputs and outputs of the network, {want}, got {got}")
    return FloatModule(graph)


def _step(result: TrainResult, beginning: Beginning, settings: TrainSettings) -> Step:
    """The training as a step of the history."""
    text = f"{result.sentence()}; method {beginning.method}, {settings.optimizer}, batch {settings.batch}"
    first = next((p.score for p in result.curve if p.score is not None), None)
    if result.best.score is None:
        return Step("training", text)
    return Step("training", text, result.best.scored, first, result.best.score, kept=True)
