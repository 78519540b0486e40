"""The job of `intaglio quantize`: load, quantize, measure, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from intaglio.api import (
    DEFAULT_SAMPLES,
    calibration_data,
    calibration_steps,
    data_steps,
    quantize_as,
    quantize_within,
    scored_data,
    shared_data,
    training_stage,
)
from intaglio.calibrate.data_free.input_moments import InputRange
from intaglio.calibrate.statistics.shared_data import SharedData
from intaglio.data import DataLike
from intaglio.errors import UsageError
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.export import check_tflite_rule, check_versions
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.processes import Processes
from intaglio.program.ends import NO_CHANGE, Ends
from intaglio.ptq.plan_choice import with_plan
from intaglio.ptq.recipe import Recipe
from intaglio.quantized import Quantized
from intaglio.search.attempts import Attempt
from intaglio.targets import Target, load_target
from intaglio.train.loop import TrainSettings
from intaglio.train.loop.user_loss import LossLike
from intaglio.workflow.artifacts import ALONE, FURTHER, Destination, timed, write_artifacts

DEFAULT_RECIPE = Recipe()


@dataclass(frozen=True)
class TrainingStage:
    """Training data and settings for the last stage of the recipe search.

    Args:
        load: returns the Graph before any pass, so that batch norms are not folded.
        data: labelled training samples.
        settings: training settings.
        loss: a user's loss in place of cross-entropy (see `train.loop.train`).
    """

    load: Callable[[], Graph]
    data: DataLike
    settings: TrainSettings
    loss: LossLike | None = None


def quantize_job(
    load: Callable[[], Graph | Quantized],
    data: DataLike,
    folder: Path,
    *,
    target: str | Path | Target = "cpu-int8",
    samples: int | None = DEFAULT_SAMPLES,
    input_range: InputRange = None,
    eval_data: DataLike | None = None,
    eval_limit: int | None = None,
    metric: MetricLike = "top1",
    recipe: Recipe = DEFAULT_RECIPE,
    checkpoint: Path | None = None,
    max_drop: float | None = None,
    work: Path | None = None,
    source: Path | None = None,
    show: TextIO | None = None,
    stage: TrainingStage | None = None,
    processes: Processes = ALONE,
    plan: Plan | str | os.PathLike[str] | None = None,
    opset: int | None = None,
    ir_version: int | None = None,
    keep_tail: bool = True,
    ends: Ends = NO_CHANGE,
    write: Sequence[str] = (),
) -> dict[str, Any]:
    """Quantize a network, lower it, measure it and write all output files.

    Args:
        load: returns the prepared Graph; or a network that is quantized already, whose scales are kept.
        data: calibration data.
        folder: output folder (files: see `Destination`).
        target, samples, input_range, checkpoint: as for `intaglio.quantize`.
        recipe: calibrator and recovery algorithms.
        max_drop: largest accepted loss on `eval_data`, in the unit of `metric` (of mse: percent); recipes are tried,
            cheapest first (`search.recipe_search`). None: use `recipe` as it is.
        work: folder that keeps the results of an unfinished search.
        eval_data, eval_limit, metric: labelled evaluation data, how many samples of them, and the metric.
        source: file of the float model, whose size is reported.
        show: stream for printed tables; None prints nothing.
        stage: training as the last stage of the search; None: no training.
        processes: processes that share calibration and evaluation; each calls this function, rank 0 writes.
        plan: as for `intaglio.quantize`.
        opset, ir_version: of model.qdq.onnx; None: the lowest possible.
        keep_tail: write post-processing that was cut off as tail.onnx.
        ends: states and types of the Program's inputs and outputs. Of a network with states, data without them are the
            steps of a stream, whose states the float network computes.
        write: further files: `tflite` for model.tflite.
    Returns:
        The content of summary.json.
    Raises:
        IntaglioError: a step fails. Files written until then are left to the caller.
    """
    seconds: dict[str, float] = {}
    check_versions(opset, ir_version)
    for name in write:
        if name not in FURTHER:
            raise UsageError(f"write: expected one of {', '.join(FURTHER)}, got {name!r}")
    versions = {"opset": opset, "ir_version": ir_version}
    with timed(seconds, "load"):
        metric = metric_of(metric)
        placed: Plan | None = None
        if plan is None:
            described = load_target(target)
        else:
            placed, described, recipe = with_plan(plan, target, recipe, searched=max_drop is not None)
        loaded = load()
        given = None if isinstance(loaded, Graph) else loaded
        if "tflite" in write:
            if given is not None:
                check_tflite_rule(given.plan.rule, given.plan.target)
            else:
                check_tflite_rule(described.rule, described.name)
        graph = loaded if isinstance(loaded, Graph) else loaded.graph
        ends.check(*([str(value.name) for value in values] for values in (graph.inputs, graph.outputs)))
        if ends.states and max_drop is not None:
            raise UsageError("max-drop: expected no states beside it, as a search measures single runs; leave one out")
        data = calibration_steps(graph, data, samples, ends.states)
        dataset = shared_data(calibration_data(graph, data, samples, input_range=input_range), processes)
        if max_drop is not None and processes.world > 1:
            raise UsageError(
                f"max-drop: expected one process, as recipes are tried one after another, got {processes.world}; "
                "start it without torchrun"
            )
        measured = eval_data is not None or max_drop is not None
        scored = scored_data(graph, eval_data, eval_limit, metric, ends.states) if measured else None
        if stage is not None and max_drop is None:
            raise UsageError(
                "train: expected --max-drop beside --train, as training is the last stage of the search, got no "
                "--max-drop; set it, or use the command `intaglio train`"
            )
        training = (
            None if stage is None else training_stage(stage.load(), graph, stage.data, stage.settings, stage.loss)
        )
    with timed(seconds, "calibrate"):
        if given is not None:
            quantized = given
        elif max_drop is None or scored is None:
            quantized = quantize_as(
                graph,
                dataset,
                described,
                recipe,
                checkpoint=checkpoint if processes.rank == 0 else None,
                plan=placed,
            )
        else:
            quantized = quantize_within(
                graph,
                dataset,
                described,
                recipe,
                scored,
                max_drop=max_drop,
                metric=metric,
                folder=work,
                callback=None if show is None else _teller(show, metric.name),
                training=training,
            )
    shown = {str(step) for step in quantized.steps}
    whole = dataset.whole if isinstance(dataset, SharedData) else dataset
    quantized.steps += [step for step in data_steps(whole, scored) if str(step) not in shown]
    destination = Destination(
        folder,
        described if given is None else None,
        scored,
        metric,
        source,
        show,
        seconds,
        processes,
        versions,
        keep_tail,
        ends,
        tuple(write),
    )
    return write_artifacts(graph, quantized, dataset, destination)


def _teller(show: TextIO, metric: str) -> Callable[[Attempt, float], None]:
    """Return a callback that prints one line for each attempt."""

    def tell(attempt: Attempt, loss: float) -> None:
        if attempt.score is None:
            result = f"no result: {attempt.error}"
        else:
            result = f"{metric} {attempt.score:.2f}, loss {loss:.2f}, {attempt.seconds:.1f} s"
        print(f"{attempt.stage:12} {attempt.name:28} {result}", file=show, flush=True)

    return tell
