"""The public calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from intaglio.calibrate.input_moments import InputRange
from intaglio.calibrate.no_data import NoData
from intaglio.calibrate.shared import SharedData
from intaglio.calibrate.synthesize import Synthesized
from intaglio.data import DataLike, Dataset
from intaglio.errors import UsageError
from intaglio.evaluation.run import data_for
from intaglio.evaluation.run import score as evaluate
from intaglio.frontends import load, load_onnx
from intaglio.graph import Graph
from intaglio.plan import Step
from intaglio.processes import Processes
from intaglio.ptq.driver import Data, Outcome, quantize_graph
from intaglio.ptq.recipe import Recipe
from intaglio.quantized import Quantized
from intaglio.search.recipe_search import Callback, search_recipes
from intaglio.search.training import Training, stage_settings
from intaglio.targets import Target, load_target
from intaglio.train.freeze import freeze_graph
from intaglio.train.loop import TrainSettings
from intaglio.train.module import QuantizedModule
from intaglio.train.nn.freeze import freeze_layers
from intaglio.train.prepare import prepare_qat

__all__ = ["Quantized", "evaluate", "freeze", "load", "load_quantized", "prepare_qat", "quantize"]

DEFAULT_SAMPLES = 512
SYNTHESIZED_SAMPLES = 128
NONE, SYNTHESIZE = "none", "synthesize"
"""Data that are not there: ranges without data, and inputs made from the network."""


def quantize(
    model: Graph | str | os.PathLike[str],
    data: DataLike,
    target: str | Path | Target = "cpu-int8",
    *,
    samples: int | None = DEFAULT_SAMPLES,
    calibrator: str | None = "auto",
    weight_calibrator: str | None = None,
    layers: Mapping[str, str] | None = None,
    equalize: bool = True,
    smooth: bool = False,
    clamp_weights: bool = False,
    rounding: str = "nearest",
    iterations: int | None = None,
    bias_correction: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    input_range: InputRange = None,
    max_drop: float | None = None,
    eval_data: DataLike | None = None,
    metric: str = "top1",
    work: str | os.PathLike[str] | None = None,
    train_data: DataLike | None = None,
    train_epochs: float | None = None,
    train_steps: int | None = None,
) -> Quantized:
    """Quantize a trained float network after training.

    Args:
        model: from `intaglio.load`, or a path that it takes.
        data: calibration inputs: an iterable of arrays or (x, y), an array, or a path (see `intaglio.data.open_data`);
            "none": ranges from what batch norm recorded, or from the weights and `input_range`; "synthesize": inputs
            made from the network.
        target: a built-in name, a TOML file, or a Target.
        samples: calibrate on at most this many; None for all. Of synthesized inputs no more than 128 are made.
        calibrator: how activation ranges are found: max, moving-average, percentile-99.99, entropy, mse, sigma-3, or
            auto, which measures them on held-back calibration data; None for the target's own.
        weight_calibrator: the same for weights; None for the target's own, or chosen by auto.
        layers: other formats for some layers, e.g. `{"first": "a16", "features.1*": "w8a16"}`.
        equalize: cut channels that are constant, and scale channels across layers so that one scale per tensor suits
            all of them; kept only where it lowers the output error on held-back calibration data, as is all of the
            following.
        smooth: move the spread of activations' channels into the weights behind them.
        clamp_weights: try narrower ranges of weights.
        rounding: of weights: nearest; gptq; adaround (learned layer by layer) or blocks (learned block by block), which
            take minutes.
        iterations: steps per layer of learned rounding; None for the algorithm's own number.
        bias_correction: take what the rounding of weights adds to mean outputs out of the biases.
        checkpoint: a file that learned rounding writes as it goes, and from which an interrupted run goes on.
        input_range: (low, high) of the inputs after preprocessing, or by input name, for data "none" and "synthesize".
        max_drop: try recipes, cheapest first, until the integer program loses no more than so many points of `metric`
            on `eval_data`; the best that was found is returned in any case (see `intaglio.search.recipe_search`).
        eval_data: labelled data for that.
        metric: top1, top5 or mse (whose growth is counted in percent).
        work: a folder in which an interrupted search keeps what it has measured, to go on from.
        train_data: labelled data for a last stage of `max_drop`: training with quantization in the forward path.
        train_epochs, train_steps: for how long; two passes over the data by default.
    Raises:
        TargetError, UnsupportedOperatorError: the request cannot be met; said before any calibration.
        DataError, CalibrationError: the data do not fit or carry no range.
        UsageError: no such calibrator or rounding, no iterations, `max_drop` without `eval_data`, or a checkpoint or
            folder of other settings.
    """
    recipe = Recipe(
        calibrator=calibrator,
        weight_calibrator=weight_calibrator,
        layers=dict(layers or {}),
        equalize=equalize,
        smooth=smooth,
        clamp_weights=clamp_weights,
        rounding=rounding,
        iterations=iterations,
        bias_correction=bias_correction,
    )
    graph = model if isinstance(model, Graph) else load(model)
    described = load_target(target)
    again = recipe.recovers or max_drop is not None
    if train_data is not None and max_drop is None:
        raise UsageError("train: expected an allowed loss beside it (max_drop), whose last stage it is, got none")
    dataset = calibration_data(graph, data, samples, input_range=input_range, again=again)
    if max_drop is None:
        return quantize_as(graph, dataset, described, recipe, checkpoint=checkpoint)
    scored = scored_data(graph, eval_data, metric=metric)
    folder = None if work is None else Path(work)
    training = None
    if train_data is not None:
        raw = graph if isinstance(model, Graph) else load_onnx(model)
        training = training_stage(raw, graph, train_data, stage_settings(train_epochs, train_steps))
    return quantize_within(
        graph, dataset, described, recipe, scored, max_drop=max_drop, metric=metric, folder=folder, training=training
    )


def quantize_as(
    graph: Graph,
    dataset: Data | NoData,
    target: Target,
    recipe: Recipe,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Quantized:
    """`quantize` with its choices as objects."""
    outcome = quantize_graph(graph, target, dataset, recipe, checkpoint=checkpoint)
    if isinstance(dataset, Synthesized):
        outcome.steps.insert(len(graph.history), dataset.step())
    return of_outcome(outcome)


def quantize_within(
    graph: Graph,
    dataset: Data | NoData,
    target: Target,
    recipe: Recipe,
    scored: Dataset,
    *,
    max_drop: float,
    metric: str = "top1",
    folder: Path | None = None,
    callback: Callback | None = None,
    training: Training | None = None,
) -> Quantized:
    """`quantize` with an allowed loss (see `search.recipe_search`)."""
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
    return of_outcome(searched.outcome)


def training_stage(raw: Graph, graph: Graph, data: DataLike, settings: TrainSettings) -> Training:
    """The last stage of `quantize` with an allowed loss.

    Args:
        raw: the network as the front end read it.
        graph: the same, prepared.
        data: labelled samples.
        settings: see `search.training.stage_settings`.
    Raises:
        DataError, UsageError: the data do not fit, have no labels, or the network tells no classes apart.
    """
    dataset = data_for(graph, data, labels=True)
    return Training(raw, dataset.cached() if dataset.once else dataset, settings)


def scored_data(graph: Graph, data: DataLike | None, limit: int | None = None, metric: str = "top1") -> Dataset:
    """Labelled data that an allowed loss is measured on; read many times.

    Raises:
        UsageError: there are none.
        DataError: they do not fit, or have no labels.
    """
    if data is None:
        raise UsageError("max-drop: expected labelled data to measure the loss on, got none; give --eval (eval_data)")
    scored = data_for(graph, data, limit, labels=True, metric=metric)
    return scored.cached() if scored.once else scored


def calibration_data(
    graph: Graph, data: DataLike, samples: int | None, *, input_range: InputRange = None, again: bool = True
) -> Data | NoData:
    """Calibration inputs as the pipeline takes them.

    Args:
        graph: whose inputs they are.
        data, samples, input_range: see `quantize`.
        again: they are read more than once: an iterator is then kept in memory.
    Raises:
        DataError, UsageError: they do not fit, or a range is stated beside data.
        CalibrationError: nothing is known of the inputs.
    """
    if isinstance(data, str) and data == NONE:
        return NoData(input_range)
    if isinstance(data, str) and data == SYNTHESIZE:
        return Synthesized(graph, min(samples or SYNTHESIZED_SAMPLES, SYNTHESIZED_SAMPLES), input_range=input_range)
    if input_range is not None:
        raise UsageError("input-range: expected data none or synthesize, got data of their own, which have ranges")
    dataset = data_for(graph, data, samples)
    return dataset.cached() if dataset.once and again else dataset


def shared_data(dataset: Data | NoData, processes: Processes) -> Data | NoData:
    """Calibration inputs of which each process observes a part; as they are where there is one process or no data.

    Args:
        dataset: from `calibration_data`, the same on every process.
        processes: that share it.
    """
    if processes.world == 1 or not isinstance(dataset, Dataset) or dataset.length is None:
        return dataset
    return SharedData(dataset, dataset.length, dataset.part, processes)


def of_outcome(outcome: Outcome) -> Quantized:
    """What users get of a result of the rooms below."""
    o = outcome
    return Quantized(o.graph, o.plan, o.steps, o.prepared, o.statistics, o.reference)


def freeze(module: nn.Module, example_inputs: Any = None) -> Quantized:
    """What a network trained with quantization computes in evaluation, as Graph and Plan.

    Args:
        module: from `prepare_qat`, or a network made of layers of `intaglio.train.nn`.
        example_inputs: what such a network can be called with, as `intaglio.load` takes it; a module from `prepare_qat`
            needs none.
    Raises:
        UsageError: a scale has collapsed, the module has never seen a tensor, or example inputs are missing.
        ModelError: values without a format; all are listed.
        CalibrationError: scales without a defined answer.
    """
    steps = [Step("training", "trained with quantization in the forward path")]
    if isinstance(module, QuantizedModule):
        graph, plan = freeze_graph(module)
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
    """Read a network that another tool quantized: a QDQ or QOperator ONNX file.

    Args:
        path: of the file.
        shapes, constants: sizes and inputs to fix, as in `load`.
    Raises:
        ModelError: no such file, or nothing in it is quantized.
    """
    from intaglio.imports import load_quantized_graph

    graph, plan, history = load_quantized_graph(path, shapes, constants)
    return Quantized(graph, plan, [Step("import", sentence) for sentence in history])
