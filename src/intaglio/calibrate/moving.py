"""Moving average of each sample's extremes, mergeable in any order.

    m[0] = x[0]        m[i] = m[i-1] + c * (x[i] - m[i-1])        x[i]: the minimum (or maximum) of sample i

Samples i..j-1 act on m as `m -> decay * m + gain`, with decay = (1 - c)**(j - i). Two neighbouring runs of samples join
into one by composition; but floats are not associative, so only runs of 2**n samples that begin at a multiple of
2**n are formed, from their two halves. What is stored, and the result, then depend on the set of samples and not on how
it was cut or in which order the parts were merged; and memory grows with the logarithm of the number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from intaglio.errors import CalibrationError

Pair = tuple[float, float]  # of minimum and maximum

RATE = 0.01
"""c, PyTorch's `averaging_constant`."""


@dataclass
class MovingExtremes:
    """Runs of samples, by (first sample, length), and the very first sample.

    Args:
        runs: the gain of each run, for minimum and maximum.
        first: (index, minimum, maximum) of the earliest sample.
    """

    runs: dict[tuple[int, int], Pair] = field(default_factory=dict)
    first: tuple[int, float, float] | None = None

    def add(self, index: int, low: NDArray[Any], high: NDArray[Any]) -> None:
        """Append samples.

        Args:
            index: number of the first one in the whole data set.
            low, high: their extremes, (n,).
        """
        extremes = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
        for i, (a, b) in enumerate(extremes, start=index):
            self._insert(i, 1, (RATE * a, RATE * b))
        if extremes:
            self._begin((index, *extremes[0]))

    def merge(self, other: MovingExtremes) -> MovingExtremes:
        """Both sets of samples together.

        Raises:
            CalibrationError: a sample is in both.
        """
        both = MovingExtremes(dict(self.runs), self.first)
        for (start, length), gain in other.runs.items():
            both._insert(start, length, gain)
        if other.first is not None:
            both._begin(other.first)
        return both

    def _begin(self, first: tuple[int, float, float]) -> None:
        self.first = first if self.first is None else min(self.first, first)

    def _insert(self, start: int, length: int, gain: Pair) -> None:
        if (start, length) in self.runs:
            raise CalibrationError(f"moving average: sample {start} is in two parts; number each part's samples")
        while (start ^ length, length) in self.runs:
            other = self.runs.pop((start ^ length, length))
            first, second = (other, gain) if start & length else (gain, other)
            gain = _after(first, length, second)
            start, length = start & ~length, 2 * length
        self.runs[start, length] = gain

    @property
    def range(self) -> tuple[float, float]:
        """The averages of minimum and maximum after the last sample. Gaps between parts are passed over."""
        assert self.first is not None
        m: Pair = self.first[1:]
        for (_, length), gain in sorted(self.runs.items()):
            m = _after(m, length, gain)
        return min(m), max(m)


def _after(m: Pair, length: int, gain: Pair) -> Pair:
    """What a run of samples makes of the averages before it."""
    decay = (1 - RATE) ** length
    return decay * m[0] + gain[0], decay * m[1] + gain[1]
