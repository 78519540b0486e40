"""Count values in a streaming histogram that depends on the data only, not on batches or the order of merging.

    bin(x) = trunc(x / 2**k)        k = the smallest integer with max|x| < N * 2**k

Bins are aligned to multiples of a power-of-two width, so a wider bin is exactly the union of two narrower ones:
`trunc(trunc(y) / 2) = trunc(y / 2)`. When a larger value comes, neighbouring bins are added, which gives what counting
all data with the wider bins would have given. Truncation makes bin 0 the interval (-2**k, 2**k): its middle is
0, so the many zeros behind a ReLU are represented exactly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Counts = NDArray[np.int64]
Edges = NDArray[np.float64]

SIDE = 4096  # N: bins on each side of 0. The larger side has at least half of them in use: 16 per step of int8.
SMALLEST_EXPONENT = -120  # keeps 2**-k a float32; narrower ranges only use fewer bins
_CHUNK = 1 << 18  # elements whose bin numbers (int32) stay in a core's second-level cache


class Histogram:
    """Counts of x in bins of width 2**exponent around zero.

    Attributes:
        exponent: k; None before the first value.
        counts: int64, (2 * SIDE - 1,); index SIDE - 1 is bin 0.
    """

    def __init__(self, exponent: int | None = None, counts: Counts | None = None) -> None:
        self.exponent = exponent
        self.counts: Counts = np.zeros(2 * SIDE - 1, np.int64) if counts is None else counts

    def add(self, x: Tensor, bound: float) -> None:
        """Count the elements of a tensor.

        Args:
            x: float32, finite, any shape, on any device.
            bound: the largest |x|.
        """
        self.widen(exponent_for(bound))
        assert self.exponent is not None
        # The product with a power of two is exact (what underflows belongs into bin 0 anyway) and the conversion to
        # an integer truncates. Counting in chunks bounds the memory to a few MB whatever the size of x.
        factor = 2.0**-self.exponent
        flat = in_memory_order(x).reshape(-1)
        counted = torch.zeros(2 * SIDE - 1, dtype=torch.int64, device=x.device)
        step = _CHUNK if x.device.type == "cpu" else max(len(flat), 1)
        for start in range(0, len(flat), step):
            bins = (flat[start : start + step] * factor).to(torch.int32).add_(SIDE - 1)
            counted += torch.bincount(bins, minlength=2 * SIDE - 1)
        self.counts += counted.cpu().numpy()

    def widen(self, exponent: int) -> None:
        """Make bins at least 2**exponent wide by adding neighbouring ones."""
        if self.exponent is None:
            self.exponent = exponent
        elif exponent > self.exponent:
            self.counts = _coarser(self.counts, exponent - self.exponent)
            self.exponent = exponent

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of both data sets together."""
        both = Histogram(self.exponent, self.counts.copy())
        if other.exponent is not None:
            both.widen(other.exponent)
            assert both.exponent is not None
            both.counts = both.counts + _coarser(other.counts, both.exponent - other.exponent)
        return both

    @property
    def total(self) -> int:
        """The number of counted elements."""
        return int(self.counts.sum())

    @property
    def width(self) -> float:
        """The width of a bin (bin 0 is twice as wide); 1 when nothing was counted."""
        return 2.0 ** (self.exponent or 0)

    def used(self, side: int | None = None) -> tuple[Counts, Edges]:
        """Return the bins between the smallest and the largest element.

        Args:
            side: join neighbouring bins until at most this many lie on each side of 0.
        Returns:
            counts (B,) and edges (B + 1,), float64; bin 0, if among them, spans -width to width.
        """
        counts, width = self.counts, self.width
        if not counts.any():
            return np.zeros(0, np.int64), np.zeros(1)
        bins = np.flatnonzero(counts) - (SIDE - 1)
        while side is not None and max(-bins[0], bins[-1]) >= side:
            counts, width = _coarser(counts, 1), width * 2
            bins = np.flatnonzero(counts) - (SIDE - 1)
        numbers = np.arange(bins[0], bins[-1] + 1)
        low = np.where(numbers <= 0, numbers - 1, numbers)
        edges = np.append(low, numbers[-1] + 1).astype(np.float64) * width
        return counts[numbers + SIDE - 1], edges

    def moments(self) -> tuple[float, float]:
        """Estimate mean and standard deviation from the middles of the bins, each to within a bin's width."""
        counts, edges = self.used()
        total = int(counts.sum())
        if not total:
            return 0.0, 0.0
        middle = (edges[:-1] + edges[1:]) / 2
        mean = float(counts @ middle) / total
        return mean, math.sqrt(max(float(counts @ np.square(middle - mean)) / total, 0.0))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and self.exponent == other.exponent
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]


def in_memory_order(x: Tensor) -> Tensor:
    """Permute axes into the order of memory, so that flattening a channels-last tensor copies nothing."""
    strides = x.stride()
    return x.permute(sorted(range(x.ndim), key=lambda axis: -strides[axis]))


def exponent_for(bound: float) -> int:
    """Find the smallest k, at least SMALLEST_EXPONENT, with bound < SIDE * 2**k."""
    # frexp: bound = m * 2**e with 1/2 <= m < 1, so bound < 2**e and no smaller power of two is above it.
    return max(math.frexp(bound)[1] - SIDE.bit_length() + 1, SMALLEST_EXPONENT) if bound > 0 else SMALLEST_EXPONENT


def _coarser(counts: Counts, steps: int) -> Counts:
    """Join counts into bins 2**steps times as wide."""
    if steps == 0 or not counts.any():
        return counts
    bins = np.flatnonzero(counts)
    numbers = bins - (SIDE - 1)
    joined = np.sign(numbers) * (np.abs(numbers) >> min(steps, 62))
    result = np.zeros_like(counts)
    np.add.at(result, joined + SIDE - 1, counts[bins])
    return result
