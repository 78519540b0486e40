"""Public functions: quantize, freeze, load_quantized, and the building blocks that `workflow` shares."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

from intaglio.calibrate.data_free.input_moments import InputRange
from intaglio.calibrate.data_free.synthesize import Synthesized
from intaglio.calibrate.no_data import NONE, SYNTHESIZE, NoData
from intaglio.calibrate.statistics.shared_data import SharedData
from intaglio.data import DataLike, Dataset
from intaglio.data.preprocessing_note import difference, preprocessing_of, preprocessing_sentence
from intaglio.errors import UsageError
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.model_stages import data_for, states_of, stream_stage
from intaglio.evaluation.model_stages import score as evaluate
from intaglio.evaluation.stage import FloatStage
from intaglio.evaluation.stream_stage import is_stream, with_float_states
from intaglio.frontends import Model, check_suffix, is_keras_file, load, load_unprepared, named, prepare
from intaglio.graph import Graph
from intaglio.module_inputs import first_sample, knows_its_inputs, refuse_in_training
from intaglio.plan import Plan, Step
from intaglio.plan.layer_effects import without_effect
from intaglio.processes import Processes
from intaglio.ptq.driver import Data, quantize_graph
from intaglio.ptq.limit import LossLimit
from intaglio.ptq.plan_choice import with_plan
from intaglio.ptq.recipe import Recipe
from intaglio.ptq.weak_masks import weak_masks
from intaglio.quantized import Quantized
from intaglio.search.recipe_search import Callback, search_recipes
from intaglio.search.training import Training, stage_settings
from intaglio.targets import Target, load_target
from intaglio.train.freeze import freeze_graph
from intaglio.train.loop import TrainSettings
from intaglio.train.loop.user_loss import LossLike, UserLoss
from intaglio.train.module import QuantizedModule
from intaglio.train.nn.freeze_layers import freeze_layers
from intaglio.train.prepare import prepare_qat

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = ["Quantized", "evaluate", "freeze", "load", "load_quantized", "prepare_qat", "quantize"]

DEFAULT_SAMPLES = 512
SYNTHESIZED_SAMPLES = 128
Chosen = TypeVar("Chosen", Recipe, LossLimit)


def quantize(
    model: Model | Graph | nn.Module | ExportedProgram,
    data: DataLike,
    target: str | Path | Target = "cpu-int8",
    *,
    example_inputs: Any = None,
    recipe: Recipe | None = None,
    limit: LossLimit | None = None,
    plan: Plan | str | os.PathLike[str] | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    input_range: InputRange = None,
    checkpoint: str | os.PathLike[str] | None = None,
    **choices: Any,
) -> Quantized:
    """Quantize a trained float network after training.

    Args:
        model: from `intaglio.load`, or what it takes: a path, a `torch.nn.Module`, a `torch.export.ExportedProgram`.
        data: calibration inputs: an iterable of arrays or (x, y), an array, or a path (see `intaglio.data.open_data`);
            "none": ranges from batch-norm statistics, or from the weights and `input_range`; "synthesize": inputs
            generated from the network.
        target: a built-in name, a TOML file, or a Target.
        example_inputs: for a module: a tensor or a tuple of tensors that it can be called with. None: the first sample
            of `data` as float32.
        recipe: calibrators and recovery algorithms (see `intaglio.ptq.Recipe`).
        limit: try recipes, cheapest first, until the accuracy loss is small enough (see `intaglio.ptq.LossLimit`); the
            best network is returned even if none is good enough.
        plan: a Plan of this network, edited or not, or its file plan.json: formats and calibrators are taken from it. A
            value whose calibrator is None keeps its parameters. The default `target` then means that of the Plan.
        samples: most calibration samples; None for all. At most 128 inputs are synthesized.
        input_range: (low, high) of the inputs after preprocessing, or by input name, for data "none" and "synthesize".
        checkpoint: file that saves the progress of learned rounding, from which an interrupted run resumes; beside
            `max_drop`, the folder `work` does.
        choices: fields of `Recipe` and of `LossLimit` by name instead of these objects: `calibrator="mse"`,
            `equalize=False`, `max_drop=1.0, eval_data=...`.
    Raises:
        TypeError: an unknown choice, or one beside the object that contains it.
        TargetError, UnsupportedOperatorError: the target does not support the network; raised before calibration.
        PlanError: the Plan does not fit the network or the target.
        DataError, CalibrationError: the data do not fit the network or give no range.
        UsageError: unknown calibrator or rounding, no iterations, a limit without `eval_data` or with `checkpoint`, or
            a checkpoint or folder of other settings.
    """
    refuse_in_training(model)
    recipe = _chosen(Recipe, recipe, "recipe", choices)
    limit = _limit(limit, choices)
    if choices:
        known = [f.name for cls in (Recipe, LossLimit) for f in fields(cls)]
        raise TypeError(f"quantize: expected choices among {', '.join(known)}, got {', '.join(choices)}")
    if limit is not None and checkpoint is not None:
        raise UsageError(
            "checkpoint: expected no max_drop beside it, as a search saves its progress in the folder `work`, got "
            f"{os.fspath(checkpoint)!r}; give work instead"
        )
    given: Plan | None = None
    if plan is None:
        described = load_target(target)
    else:
        given, described, recipe = with_plan(plan, target, recipe, searched=limit is not None)
    if isinstance(model, nn.Module) and example_inputs is None and not knows_its_inputs(model):
        data, example_inputs = first_sample(model, data)
    raw = load_unprepared(model, example_inputs)
    graph = raw if isinstance(model, Graph) else prepare(raw)
    again = recipe.recovers or limit is not None
    dataset = calibration_data(graph, data, samples, input_range=input_range, again=again)
    if limit is None:
        return quantize_as(graph, dataset, described, recipe, checkpoint=checkpoint, plan=given)
    metric = metric_of(limit.metric, higher_is_better=limit.higher_is_better)
    scored = scored_data(graph, limit.eval_data, metric=metric)
    training = None
    if limit.train_data is not None:
        training = training_stage(
            raw, graph, limit.train_data, stage_settings(limit.train_epochs, limit.train_steps), limit.train_loss
        )
    return quantize_within(
        graph,
        dataset,
        described,
        recipe,
        scored,
        max_drop=limit.max_drop,
        metric=metric,
        folder=None if limit.work is None else Path(limit.work),
        training=training,
    )


def _limit(limit: LossLimit | None, choices: dict[str, Any]) -> LossLimit | None:
    if limit is None and choices.get("max_drop") is None:
        given = {f.name: choices.pop(f.name) for f in fields(LossLimit) if f.name in choices}
        if given.get("train_data") is not None:
            raise UsageError(
                "train: expected max_drop beside train_data, as training is the last stage of the search, got no "
                "max_drop; set it, or call prepare_qat"
            )
        return None
    return _chosen(LossLimit, limit, "limit", choices)


def _chosen(cls: type[Chosen], given: Chosen | None, name: str, choices: dict[str, Any]) -> Chosen:
    """Return the given object, or make one from those choices that are its fields, and remove them from the choices."""
    own = {f.name: choices.pop(f.name) for f in fields(cls) if f.name in choices}
    if given is None:
        return cls(**own)
    if not isinstance(given, cls):
        raise UsageError(f"{name}: expected an intaglio.ptq.{cls.__name__}, got {given!r:.60}")
    if own:
        raise TypeError(f"quantize: expected {name} or its fields, got both: {', '.join(own)}; put them into {name}")
    return given


def quantize_as(
    graph: Graph,
    dataset: Data | NoData,
    target: Target,
    recipe: Recipe,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    plan: Plan | None = None,
) -> Quantized:
    """Quantize with a recipe; the arguments are objects."""
    made = quantize_graph(graph, target, dataset, recipe, checkpoint=checkpoint, plan=plan)
    if plan is None:
        made.steps[len(graph.history) : len(graph.history)] = without_effect(graph, target, recipe.layers)
    return _told(graph, dataset, made)


def _told(graph: Graph, dataset: Data | NoData, quantized: Quantized) -> Quantized:
    """Add to the history, behind what the passes did, how calibration inputs were prepared or synthesized."""
    if isinstance(dataset, Synthesized):
        quantized.steps.insert(len(graph.history), dataset.step())
    else:
        whole = dataset.whole if isinstance(dataset, SharedData) else dataset
        quantized.steps[len(graph.history) : len(graph.history)] = data_steps(whole)
    return quantized


def data_steps(data: object, scored: Dataset | None = None) -> list[Step]:
    """Say in the history how pictures are prepared.

    Args:
        data: calibration or training data, of any kind.
        scored: evaluation data: what is different from `data`.
    """
    used = data if isinstance(data, Dataset) else None
    preprocess, other = preprocessing_of(used), difference(used, scored)
    if used is None and scored is not None:
        preprocess = preprocessing_of(scored)
    sentences = (None if preprocess is None else preprocessing_sentence(preprocess), other)
    return [Step("data", text) for text in sentences if text is not None]


def quantize_within(
    graph: Graph,
    dataset: Data | NoData,
    target: Target,
    recipe: Recipe,
    scored: Dataset,
    *,
    max_drop: float,
    metric: MetricLike = "top1",
    folder: Path | None = None,
    callback: Callback | None = None,
    training: Training | None = None,
) -> Quantized:
    """Quantize with the cheapest recipe that loses at most `max_drop` (see `search.recipe_search`)."""
    searched = search_recipes(
        graph,
        target,
        dataset,
        scored,
        max_drop=max_drop,
        metric=metric,
        recipe=recipe,
        folder=folder,
        callback=callback,
        training=training,
    )
    return _told(graph, dataset, searched.quantized)


def training_stage(
    raw: Graph, graph: Graph, data: DataLike, settings: TrainSettings, loss: LossLike | None = None
) -> Training:
    """Prepare training as the last stage of the recipe search.

    Args:
        raw: the network before any pass.
        graph: the prepared network.
        data: labelled training samples.
        settings: see `search.training.stage_settings`.
        loss: a user's loss in place of cross-entropy.
    Raises:
        DataError, UsageError: the data do not fit or have no labels, or the network is not a classifier.
    """
    own = None if loss is None else UserLoss(loss)
    dataset = data_for(graph, data, labels=True, form="classes" if own is None else "given")
    return Training(raw, dataset.cached() if dataset.once else dataset, settings, loss=own)


def scored_data(
    graph: Graph,
    data: DataLike | None,
    limit: int | None = None,
    metric: MetricLike = "top1",
    states: Mapping[str, str] | None = None,
) -> Dataset:
    """Open the labelled evaluation data of the recipe search; they are read many times.

    Raises:
        UsageError: no data are given.
        DataError: the data do not fit the network, or have no labels.
    """
    if data is None:
        raise UsageError("max-drop: expected labelled data to measure the loss on, got none; give --eval (eval_data)")
    scored = data_for(graph, data, limit, labels=True, metric=metric, states=states)
    return scored.cached() if scored.once else scored


def calibration_data(
    graph: Graph, data: DataLike, samples: int | None, *, input_range: InputRange = None, again: bool = True
) -> Data | NoData:
    """Open calibration inputs.

    Args:
        graph: the network.
        data, samples, input_range: see `quantize`.
        again: whether the data are read more than once; an iterator is then cached in memory.
    Raises:
        DataError, UsageError: the data do not fit the network, or `input_range` is given beside a data set.
        CalibrationError: there are no data and the range of the inputs is unknown.
    """
    if isinstance(data, str) and data == NONE:
        return NoData(input_range)
    if isinstance(data, str) and data == SYNTHESIZE:
        return Synthesized(graph, min(samples or SYNTHESIZED_SAMPLES, SYNTHESIZED_SAMPLES), input_range=input_range)
    if input_range is not None:
        raise UsageError("input-range: expected data none or synthesize, got data of their own, which have ranges")
    dataset = data_for(graph, data, samples)
    return dataset.cached() if dataset.once and again else dataset


def calibration_steps(graph: Graph, data: DataLike, samples: int | None, states: Mapping[str, str]) -> DataLike:
    """Run the float network as a stream over calibration data that lack the states; other data are returned.

    Args:
        graph: the network.
        data: see `quantize`.
        samples: most steps; None: all.
        states: the output of each state by the name of its input; empty: the network has none.
    Returns:
        Arrays by the input's name, states included.
    Raises:
        DataError, UsageError: the data or the states' names do not fit the network.
    """
    if not states or (isinstance(data, str) and data in (NONE, SYNTHESIZE)):
        return data
    kept = states_of(graph, states)
    dataset = data_for(graph, data, samples, states=kept)
    if not is_stream(dataset, kept):
        return dataset
    return with_float_states(stream_stage(graph, FloatStage(graph), kept), dataset, samples)


def shared_data(dataset: Data | NoData, processes: Processes) -> Data | NoData:
    """Share calibration inputs, so that each process observes a part; unchanged for one process or without data.

    Args:
        dataset: from `calibration_data`, the same on every process.
        processes: the processes that share it.
    """
    if processes.world == 1 or not isinstance(dataset, Dataset) or dataset.length is None:
        return dataset
    return SharedData(dataset, dataset.length, dataset.part, processes)


def freeze(module: nn.Module, example_inputs: Any = None) -> Quantized:
    """Freeze a network trained with quantization to Graph and Plan.

    Args:
        module: module from `prepare_qat`, or a network of layers of `intaglio.train.nn`.
        example_inputs: for a network of `intaglio.train.nn`: inputs that it can be called with, as for
            `intaglio.load`.
    Raises:
        UsageError: a scale has collapsed or was never initialized, or example inputs are missing.
        ModelError: some values have no format; all are listed.
        CalibrationError: a scale cannot be derived.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"freeze: expected a module of prepare_qat or of layers of intaglio.train.nn, got {type(module).__name__}"
        )
    steps = [Step("training", "trained with quantization in the forward path")]
    if isinstance(module, QuantizedModule):
        graph, plan = freeze_graph(module)
        steps += [Step("training", f"{why}; the program masks") for why in weak_masks(graph, plan).values()]
        return Quantized(graph, plan, steps, module.graph)
    if example_inputs is None:
        raise UsageError(
            f"{type(module).__name__}: expected example_inputs beside a network of intaglio.train.nn, got none; "
            "call freeze(network, torch.zeros(1, 3, 32, 32))"
        )
    graph, plan = freeze_layers(module, example_inputs)
    return Quantized(graph, plan, steps)


def load_quantized(
    path: str | os.PathLike[str],
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Quantized:
    """Read a network that another tool quantized: ONNX in QDQ, QOperator or QONNX form, or a quantized .tflite file.

    The program of a .tflite file has the rounding rule `tflite`: it gives the integers of LiteRT's reference kernels.

    Args:
        path: the file.
        shapes, constants: fixed shapes and inputs, as in `load`.
    Raises:
        ModelError: there is no such file, or nothing in it is quantized.
    """
    from intaglio.frontends.quantized.load import load_quantized_graph

    if isinstance(path, str | os.PathLike):
        check_suffix(path)
    if is_keras_file(path):
        raise UsageError(
            f"{os.fspath(path)}: expected a QDQ or QOperator ONNX file, got a Keras file, which holds a float network; "
            "intaglio.load(path) reads it, intaglio.quantize(path, data) quantizes it"
        )
    graph, plan, history = load_quantized_graph(path, shapes, constants)
    return Quantized(named(graph, path), plan, [Step("import", sentence) for sentence in history])
