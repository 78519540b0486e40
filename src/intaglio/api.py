"""The public calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from intaglio.calibrate import calibrate
from intaglio.data import DataLike, Dataset
from intaglio.frontends import load
from intaglio.graph import Graph
from intaglio.measure.run import data_for
from intaglio.measure.run import score as evaluate
from intaglio.measure.stage import inputs_of
from intaglio.plan import place
from intaglio.quantized import Quantized
from intaglio.recover import ArraySamples, correct_biases
from intaglio.targets import Target, load_target

__all__ = ["Quantized", "evaluate", "load", "load_quantized", "quantize"]

DEFAULT_SAMPLES = 512
RECOVERY_SAMPLES = 48


def quantize(
    model: Graph | str | os.PathLike[str],
    data: DataLike,
    target: str | Path | Target = "cpu-int8",
    *,
    samples: int | None = DEFAULT_SAMPLES,
    calibrator: str | None = "auto",
    weight_calibrator: str | None = None,
    layers: Mapping[str, str] | None = None,
    bias_correction: bool = True,
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
        bias_correction: take what the rounding of weights adds to mean outputs out of the biases; kept only where it
            lowers the output error on held-back calibration data.
    Raises:
        TargetError, UnsupportedOperatorError: the request cannot be met; said before any calibration.
        DataError, CalibrationError: the data do not fit or carry no range.
    """
    graph = model if isinstance(model, Graph) else load(model)
    plan = place(graph, load_target(target), layers=layers, weight_calibrator=weight_calibrator)
    dataset = data_for(graph, data, samples)
    if dataset.once and bias_correction:
        dataset = dataset.cached()  # an iterator is read twice: for ranges, and for means
    result = calibrate(graph, plan, dataset, calibrator=calibrator, weight_calibrator=weight_calibrator)
    history = [*graph.history, *result.history]
    if not bias_correction:
        return Quantized(graph, result.plan, history)
    recovery = correct_biases(graph, result.plan, *_some(dataset))
    return Quantized(recovery.graph, recovery.plan, [*history, *recovery.history])


def _some(dataset: Dataset) -> tuple[ArraySamples, ArraySamples]:
    """A few samples for an algorithm, and every fourth of them held back; a single one is both."""
    batches = [inputs_of(x) for x, _ in dataset.limit(RECOVERY_SAMPLES).batches(8)]
    arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    held = np.arange(len(arrays[0])) % 4 == 3
    if not held.any():
        return ArraySamples(arrays), ArraySamples(arrays)
    return ArraySamples([a[~held] for a in arrays]), ArraySamples([a[held] for a in arrays])


def load_quantized(path: str | os.PathLike[str]) -> Quantized:
    """Read a network that another tool quantized: a QDQ or QOperator ONNX file.

    Raises:
        ModelError: no such file, or nothing in it is quantized.
    """
    from intaglio.imports import load_quantized_graph

    graph, plan, history = load_quantized_graph(path)
    return Quantized(graph, plan, history)
