"""Errors of outputs that are real numbers, such as pictures.

mse  = mean over samples and outputs of (y - t)**2
psnr = mean over samples of 10 log10( peak**2 / mse of the sample )  dB
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.evaluation.metric import Collected, Metric, SampleMean
from intaglio.evaluation.sqnr import MOST

Array = NDArray[Any]


def squared_errors(y: Array, target: Array) -> Array:
    """Return the mean squared error of each sample, float64 (N,).

    Raises:
        DataError: the targets have another shape than the outputs.
    """
    if y.shape != target.shape and not (len(y) == len(target) and y.size == target.size == len(y)):
        raise DataError(f"targets: expected shape {y.shape} (the model's output), got {target.shape}")
    return np.asarray(np.square(y.astype(np.float64) - target.reshape(y.shape)).reshape(len(y), -1).mean(axis=1))


def mean_squared_error() -> Metric:
    """Return the mean squared error; losses are in percent of the float network's."""
    way = SampleMean(squared_errors)
    return Metric("mse", way, higher_is_better=False, labels="numbers", relative=True)


def peak_signal_to_noise(peak: float | None = None) -> Metric:
    """Return the peak signal-to-noise ratio (PSNR) in dB. A sample without error counts as 200 dB.

    Args:
        peak: largest possible value minus smallest possible one: 1, 2 or 255; None: that of all targets.
    """

    def finish(errors: Array, lowest: Array, highest: Array) -> float:
        high = float(highest.max() - lowest.min()) if peak is None else peak
        with np.errstate(divide="ignore"):
            ratios = 10.0 * np.log10(max(high, 1e-30) ** 2 / errors)
        return float(np.minimum(ratios, MOST).mean())

    def keep(outputs: tuple[Array, ...], target: Array) -> tuple[Array, ...]:
        errors, rows = squared_errors(outputs[0], target), target.reshape(len(target), -1)
        return errors, rows.min(axis=1), rows.max(axis=1)

    identity = "" if peak is None else f"peak {peak:g}"
    return Metric("psnr", Collected(finish, keep), unit="dB", labels="numbers", identity=identity)
