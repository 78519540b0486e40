"""Signal-to-quantization-noise ratio (SQNR): the one measure of how far values are from the float network's.

    SQNR = 10 log10( sum (y - m)**2 / sum (y - q)**2 )  dB

for one value y of the float network, over all its elements on all samples. m is the mean of these elements, one number;
q is the other network's value. So an offset common to all elements is no signal. For a constant value the numerator
is the sum of y**2. For several outputs it is the mean of their ratios in dB.

Two networks on the same samples are compared by

    gain = SQNR - SQNR of the other network
    error of the gain = sqrt( (n - 1) / n * sum over i (g[i] - mean g)**2 )  g[i]: the gain without sample i

Samples that are hard for both networks cancel out, and a gain that comes from a single sample has a large error.
Source of the error: Efron and Stein 1981, "The jackknife estimate of variance", Annals of Statistics 9 (3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 200.0
"""Most dB of a value: that of one without any error, and, negative, of one that is not finite. So no single output
decides a mean over several."""

STUDENT = (np.inf, 89.13, 11.77, 6.58, 5.07, 4.39, 4.0, 3.76, 3.59, 3.47, 3.37, 3.3, 3.24, 3.19, 3.15, 3.12)
"""Student's t at 99.64 %, by degrees of freedom: of seven candidates that are no better, one passes in 2.5 % of all
trials (Bonferroni). That of 15 stands for all above; of 63 it is 2.79."""

_CONSTANT = 1e-9
"""Share of the power: a variance below it comes from rounding in float64."""


class SignalToNoise:
    """Accumulates the SQNR of some values over batches of any size.

    Args:
        names: those of the values.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._noise: list[NDArray[np.float64]] = []  # (values, samples) of each batch
        self._signal = np.zeros((len(self.names), 3))  # how many y, sum of y, sum of y**2

    def add(self, wanted: Mapping[str, Any], got: Mapping[str, Any], samples: int) -> None:
        """Add a batch.

        Args:
            wanted: values of the float network by name, tensors or arrays of any shape.
            got: those of the other network, of the same shapes.
            samples: number of samples. Axis 0 counts them, or is of any size for a single one.
        """
        noise = np.zeros((len(self.names), samples))
        for row, name in enumerate(self.names):
            y, q = _float64(wanted[name]), _float64(got[name])
            with np.errstate(over="ignore", invalid="ignore"):
                noise[row] = np.square(y - q).reshape(samples, -1).sum(axis=1)
                self._signal[row] += y.size, y.sum(), np.square(y).sum()
        self._noise.append(noise)

    def sums(self) -> NDArray[np.float64]:
        """Return count, sum and sum of squares of y, and noise, (values, 4). They add up over parts of the data."""
        return np.column_stack([self._signal, self.noise.sum(axis=1)])

    @classmethod
    def from_sums(cls, names: Sequence[str], sums: NDArray[np.float64]) -> SignalToNoise:
        """Restore from added `sums`; all samples count as one."""
        made = cls(names)
        made._signal, made._noise = sums[:, :3].copy(), [sums[:, 3:].copy()]
        return made

    @property
    def noise(self) -> NDArray[np.float64]:
        """The power of the error, (values, samples)."""
        return np.concatenate(self._noise, axis=1) if self._noise else np.zeros((len(self.names), 0))

    @property
    def samples(self) -> int:
        """The number of samples."""
        return sum(noise.shape[1] for noise in self._noise)

    @property
    def by_value(self) -> dict[str, float]:
        """The SQNR of each value in dB: inf where both networks agree, -inf where the other's is not finite."""
        noise = self.noise.sum(axis=1)
        found = self._decibels(noise)
        found = np.where(noise == 0, np.inf, np.where(np.isfinite(noise), found, -np.inf))
        return dict(zip(self.names, found.tolist(), strict=True))

    @property
    def sqnr(self) -> float:
        """The mean over all values in dB, each of them within -`MOST` and `MOST`."""
        return float(self._decibels(self.noise.sum(axis=1)).mean())

    def gain_over(self, other: SignalToNoise) -> tuple[float, float]:
        """Compute the gain over another SQNR on the same samples, and the uncertainty of this gain, both in dB.

        The second number is the standard error times Student's t: a gain that is larger is above 0 with 99.6 %
        confidence. It is infinite for a single sample.
        """
        mine, theirs = self.noise, other.noise
        gain, n = self.sqnr - other.sqnr, self.samples
        if n < 2:
            return gain, np.inf
        without = self._decibels(_each_left_out(mine)).mean(axis=0) - self._decibels(_each_left_out(theirs)).mean(
            axis=0
        )
        error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
        return gain, float(error * STUDENT[min(n, len(STUDENT)) - 1])

    def _decibels(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the SQNR of noise (values, ...), each within -`MOST` and `MOST`."""
        count, total, square = self._signal.T
        spread = square - total**2 / np.maximum(count, 1)
        signal = np.where(spread > _CONSTANT * square, spread, square)
        signal = np.maximum(signal, 1e-100).reshape(-1, *[1] * (noise.ndim - 1))
        ratio = np.where(np.isfinite(noise), noise, 1e100) / signal
        return np.asarray(np.clip(-10 * np.log10(np.maximum(ratio, 1e-100)), -MOST, MOST), np.float64)


def _float64(x: Any) -> NDArray[np.float64]:
    """Convert a tensor on any device, or an array."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, np.float64)


def _each_left_out(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum without one sample each, (values, samples)."""
    n = noise.shape[1]
    return np.stack([np.delete(noise, i, axis=1).sum(axis=1) for i in range(n)], axis=1)
