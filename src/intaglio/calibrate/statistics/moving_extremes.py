"""Average each sample's extremes exponentially, in parts that merge in any order.

    m[0] = 0        m[i] = m[i-1] + c * (x[i] - m[i-1])        average = m[n] / (1 - (1 - c)**n)

x[i] is the minimum (or maximum) of sample i, i = 1..n. The divisor is the sum of the weights, c * (1 - c)**(n - i).
If m began with the first sample instead, this one would weigh (1 - c)**(n - 1): 86 % of all for n = 16.

Samples i..j-1 act on m as `m -> decay * m + gain`, with decay = (1 - c)**(j - i). Two neighbouring runs of samples join
into one by composition; but floats are not associative, so only runs of 2**n samples that begin at a multiple of
2**n are formed, from their two halves. The runs stored, and the result, then depend on the set of samples, not on how
it was cut or in which order parts were merged. Memory grows with the logarithm of the number of samples.

Source of the divisor: Kingma and Ba 2015, arXiv:1412.6980, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from intaglio.errors import CalibrationError

Pair = tuple[float, float]  # of minimum and maximum

RATE = 0.01
"""c; as `averaging_constant` in PyTorch's observers."""


@dataclass
class MovingExtremes:
    """The moving averages of each sample's minimum and maximum, kept as runs of samples.

    Args:
        runs: the gain of each run for minimum and maximum, by (first sample, length).
    """

    runs: dict[tuple[int, int], Pair] = field(default_factory=dict)

    def add(self, index: int, low: NDArray[Any], high: NDArray[Any]) -> None:
        """Append samples.

        Args:
            index: number of the first one in the whole data set.
            low, high: their extremes, (n,).
        """
        for i, (a, b) in enumerate(zip(low, high, strict=True), start=index):
            self._insert(i, 1, (RATE * float(a), RATE * float(b)))

    def merge(self, other: MovingExtremes) -> MovingExtremes:
        """Return the runs of both sets of samples together.

        Raises:
            CalibrationError: a sample is in both.
        """
        both = MovingExtremes(dict(self.runs))
        for (start, length), gain in other.runs.items():
            both._insert(start, length, gain)
        return both

    def _insert(self, start: int, length: int, gain: Pair) -> None:
        if (start, length) in self.runs:
            raise CalibrationError(
                f"moving average: sample {start} is in two parts; tell `observe` each part's first_sample"
            )
        while (start ^ length, length) in self.runs:
            other = self.runs.pop((start ^ length, length))
            first, second = (other, gain) if start & length else (gain, other)
            gain = _after(first, length, second)
            start, length = start & ~length, 2 * length
        self.runs[start, length] = gain

    @property
    def range(self) -> tuple[float, float]:
        """The averages of minimum and maximum after the last sample. Gaps between parts are passed over."""
        assert self.runs
        m: Pair = (0.0, 0.0)
        for (_, length), gain in sorted(self.runs.items()):
            m = _after(m, length, gain)
        weight = 1 - _decay(sum(length for _, length in self.runs))
        return m[0] / weight, m[1] / weight


def _after(m: Pair, length: int, gain: Pair) -> Pair:
    """Update the averages by a run of samples."""
    decay = _decay(length)
    return decay * m[0] + gain[0], decay * m[1] + gain[1]


def _decay(length: int) -> float:
    return float((1 - RATE) ** length)
