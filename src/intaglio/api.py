"""The public calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from intaglio.calibrate import calibrate
from intaglio.data import DataLike
from intaglio.frontends import load
from intaglio.graph import Graph
from intaglio.measure.run import data_for
from intaglio.measure.run import score as evaluate
from intaglio.plan import place
from intaglio.quantized import Quantized
from intaglio.targets import Target, load_target

__all__ = ["Quantized", "evaluate", "load", "load_quantized", "quantize"]

DEFAULT_SAMPLES = 512


def quantize(
    model: Graph | str | os.PathLike[str],
    data: DataLike,
    target: str | Path | Target = "cpu-int8",
    *,
    samples: int | None = DEFAULT_SAMPLES,
    calibrator: str | None = "auto",
    weight_calibrator: str | None = None,
    layers: Mapping[str, str] | None = None,
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
    Raises:
        TargetError, UnsupportedOperatorError: the request cannot be met; said before any calibration.
        DataError, CalibrationError: the data do not fit or carry no range.
    """
    graph = model if isinstance(model, Graph) else load(model)
    plan = place(graph, load_target(target), layers=layers, weight_calibrator=weight_calibrator)
    dataset = data_for(graph, data, samples)
    result = calibrate(graph, plan, dataset, calibrator=calibrator, weight_calibrator=weight_calibrator)
    return Quantized(graph, result.plan, [*graph.history, *result.history])


def load_quantized(path: str | os.PathLike[str]) -> Quantized:
    """Read a network that another tool quantized: a QDQ or QOperator ONNX file.

    Raises:
        ModelError: no such file, or nothing in it is quantized.
    """
    from intaglio.imports import load_quantized_graph

    graph, plan, history = load_quantized_graph(path)
    return Quantized(graph, plan, history)
