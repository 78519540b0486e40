"""The public calls."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from intaglio.calibrate import calibrate
from intaglio.data import DataLike, Dataset
from intaglio.frontends import load
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.measure.run import data_for
from intaglio.measure.run import score as evaluate
from intaglio.measure.stage import inputs_of
from intaglio.plan import place
from intaglio.quantized import Quantized
from intaglio.recover import ArraySamples, Recovery, correct_biases, settle_channel_ranges
from intaglio.recover.adaround import adaround as learn_rounding
from intaglio.recover.rounding import Settings
from intaglio.targets import Target, load_target

__all__ = ["Quantized", "evaluate", "load", "load_quantized", "quantize"]

DEFAULT_SAMPLES = 512
RECOVERY_SAMPLES = 48
ADAROUND_SAMPLES = 512
ADAROUND_BYTES = 256 << 20  # of inputs, which are kept in memory: every layer reads them again


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
    bias_correction: bool = True,
    adaround: bool = False,
    adaround_iterations: int = 1000,
    adaround_checkpoint: str | os.PathLike[str] | None = None,
) -> Quantized:
    """Quantize a trained float network after training.

    Args:
        model: from `intaglio.load`, or a path that it takes.
        data: calibration inputs: an iterable of arrays or (x, y), an array, or a path (see `intaglio.data.open_data`).
        target: a built-in name, a TOML file, or a Target.
        samples: calibrate on at most this many; None for all.
        calibrator: how activation ranges are found: max, moving-average, percentile-99.99, entropy, mse, sigma-3, or
            auto, which measures them on held-back calibration data; None for the target's own.
        weight_calibrator: the same for weights; None for the target's own, or chosen by auto.
        layers: other formats for some layers, e.g. `{"first": "a16", "features.1*": "w8a16"}`.
        equalize: cut channels that are constant, and scale channels across layers so that one scale per tensor suits
            all of them; kept only where it lowers the output error on held-back calibration data.
        bias_correction: take what the rounding of weights adds to mean outputs out of the biases; kept only where it
            lowers the output error on held-back calibration data.
        adaround: learn which weights are rounded down and which up, before the bias correction; takes minutes, and is
            kept only where it lowers the output error.
        adaround_iterations: steps per layer.
        adaround_checkpoint: a file that is written after each layer and from which an interrupted run goes on.
    Raises:
        TargetError, UnsupportedOperatorError: the request cannot be met; said before any calibration.
        DataError, CalibrationError: the data do not fit or carry no range.
        UsageError: no iterations, or a checkpoint of other settings.
    """
    settings = Settings(iterations=adaround_iterations)
    graph = model if isinstance(model, Graph) else load(model)
    described = load_target(target)
    plan = place(graph, described, layers=layers, weight_calibrator=weight_calibrator)
    dataset = data_for(graph, data, samples)
    if dataset.once and (equalize or bias_correction or adaround):
        dataset = dataset.cached()  # an iterator is read again: for ranges, for inputs of layers, and for means
    told: list[str] = []
    history = graph.history
    if equalize:
        graph, told = settle_channel_ranges(
            graph,
            lambda g: place(g, described, layers=layers, weight_calibrator=weight_calibrator),
            dataset,
            *_some(dataset, RECOVERY_SAMPLES),
            calibrator=calibrator,
            weight_calibrator=weight_calibrator,
            carry_caps=not layers,  # a format asked for a layer holds for the clamp behind it, not for two of them
        )
        plan = place(graph, described, layers=layers, weight_calibrator=weight_calibrator)
    result = calibrate(graph, plan, dataset, calibrator=calibrator, weight_calibrator=weight_calibrator)
    quantized = Quantized(graph, result.plan, [*history, *told, *result.history])
    if adaround:
        nbytes = sum(4 * math.prod(shape(value)) for value in graph.inputs)
        some = _some(dataset, max(1, min(ADAROUND_SAMPLES, ADAROUND_BYTES // max(nbytes, 1))), 32)
        _take(quantized, learn_rounding(graph, result.plan, *some, settings=settings, checkpoint=adaround_checkpoint))
    if bias_correction:
        some = _some(dataset, RECOVERY_SAMPLES)
        _take(quantized, correct_biases(quantized.graph, quantized.plan, *some, reference=graph))
    return quantized


def _take(quantized: Quantized, recovery: Recovery) -> None:
    quantized.graph, quantized.plan = recovery.graph, recovery.plan
    quantized.note(recovery.history)


def _some(dataset: Dataset, count: int, batch: int = 8) -> tuple[ArraySamples, ArraySamples]:
    """A few samples for an algorithm, and every fourth of them held back; a single one is both."""
    batches = [inputs_of(x) for x, _ in dataset.limit(count).batches(8)]
    arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    held = np.arange(len(arrays[0])) % 4 == 3
    if not held.any():
        return ArraySamples(arrays, batch), ArraySamples(arrays, batch)
    return ArraySamples([a[~held] for a in arrays], batch), ArraySamples([a[held] for a in arrays], batch)


def load_quantized(path: str | os.PathLike[str]) -> Quantized:
    """Read a network that another tool quantized: a QDQ or QOperator ONNX file.

    Raises:
        ModelError: no such file, or nothing in it is quantized.
    """
    from intaglio.imports import load_quantized_graph

    graph, plan, history = load_quantized_graph(path)
    return Quantized(graph, plan, history)
