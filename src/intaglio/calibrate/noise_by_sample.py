"""Quantization noise of a network's outputs, sample by sample: which of two is smaller, and how sure that is.

    SQNR = 10 log10( sum (y - mean y)**2 / sum (y - y_quantized)**2 )        averaged over outputs
    gain = SQNR - SQNR of another network on the same samples
    error of the gain = sqrt( (n - 1) / n * sum over i (g[i] - mean g)**2 )  g[i]: the gain without sample i

Both networks have the same samples, so what is hard for both cancels; and a gain that a single sample makes has a large
error. Source of the error: Efron and Stein 1981, "The jackknife estimate of variance", Annals of Statistics 9 (3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MOST = 200.0
"""dB. An output without any error shall not decide alone where there are others."""

STUDENT = (np.inf, 89.13, 11.77, 6.58, 5.07, 4.39, 4.0, 3.76, 3.59, 3.47, 3.37, 3.3, 3.24, 3.19, 3.15, 3.12)
"""Student's t at 99.64 %, by degrees of freedom: of seven candidates that are no better, one passes in 2.5 % of all
trials (Bonferroni). That of 15 stands for all above; of 63 it is 2.79."""


class NoiseBySample:
    """Squared errors of some outputs, by sample, and the outputs' own size.

    Args:
        names: of the outputs.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._noise: list[NDArray[np.float64]] = []  # (outputs, samples) of each batch
        self._sums = np.zeros((3, len(names)))  # of y, of y**2, and how many y

    def add(self, size: int, wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
        """Take note of some samples: what the float network and the quantized one give."""
        rows = np.zeros((len(self.names), size))
        for k, name in enumerate(self.names):
            y = wanted[name].double()
            rows[k] = (y - got[name]).square().reshape(size, y.numel() // size).sum(1).cpu().numpy()
            self._sums[:, k] += float(y.sum()), float(y.square().sum()), y.numel()
        self._noise.append(rows)

    @property
    def noise(self) -> NDArray[np.float64]:
        """(outputs, samples)"""
        return np.concatenate(self._noise, axis=1)

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(rows.shape[1] for rows in self._noise)

    @property
    def sqnr(self) -> float:
        """In dB, within -200 and 200."""
        return float(self._decibels(self.noise.sum(1)))

    def gain_over(self, other: NoiseBySample) -> tuple[float, float]:
        """How many dB its SQNR is above another's on the same samples, and within how many dB that is known.

        The second number is the standard error times Student's t: a gain that is larger is above 0 with 99.6 %
        confidence. It is infinite for a single sample.
        """
        mine, theirs = self.noise, other.noise
        gain, n = self.sqnr - other.sqnr, self.samples
        if n < 2:
            return gain, np.inf
        without = self._decibels(_each_left_out(mine)) - self._decibels(_each_left_out(theirs))
        error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
        return gain, float(error * STUDENT[min(n, len(STUDENT)) - 1])

    def _decibels(self, noise: NDArray[np.float64]) -> NDArray[Any]:
        """SQNR of (outputs, ...) noise."""
        total, square, count = self._sums
        spread = square - total**2 / np.maximum(count, 1)
        signal = np.where(spread > 1e-9 * square, spread, square)  # a constant output: its size
        signal = np.maximum(signal, 1e-100).reshape(-1, *[1] * (noise.ndim - 1))
        ratio = np.where(np.isfinite(noise), noise, 1e100) / signal
        return np.asarray(np.clip(-10 * np.log10(np.maximum(ratio, 1e-100)), -MOST, MOST).mean(axis=0))


def _each_left_out(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums without one sample each, (outputs, samples)."""
    n = noise.shape[1]
    return np.stack([np.delete(noise, i, axis=1).sum(1) for i in range(n)], axis=1)
