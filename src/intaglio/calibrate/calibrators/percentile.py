"""Percentile: a range that holds a given share of the data.

- One threshold (symmetric formats): the range is cut at the `percent`-th percentile of |x|.
- Two ends (asymmetric formats): the share `100 - percent` is cut off, half of it at each end; all of it at the far end
  where the data lie on one side of 0, since the near end is 0 in any case.

Source: McKinstry et al. 2018, arXiv:1809.04191; Wu et al. 2020, arXiv:2004.09602, section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate.calibrators.calibrator import Bounds
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.number import Scheme
from intaglio.plan import Format


@dataclass(frozen=True)
class Percentile:
    """Takes the range that holds `percent` of the data."""

    percent: float = 99.99
    needs: ClassVar[Needs] = Needs.HISTOGRAM

    @property
    def name(self) -> str:
        """`percentile-99.99`."""
        return f"percentile-{self.percent:.10g}"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return percentile_range(record, self.percent, symmetric=fmt.scheme is not Scheme.ASYMMETRIC)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        return percentile_ranges(blocks, self.percent, symmetric=fmt.scheme is not Scheme.ASYMMETRIC)


def percentile_range(record: Record, percent: float, *, symmetric: bool) -> tuple[float, float]:
    """Find the range of an activation from its histogram, data within a bin taken as spread evenly.

    Args:
        record: with a histogram.
        percent: share of the data within the range, 50 to 100.
        symmetric: cut at one threshold of |x| instead of at two ends.
    """
    assert record.histogram is not None
    counts, edges = record.histogram.used()
    below = np.append(0, np.cumsum(counts)).astype(np.float64)  # elements below each edge
    low, high = record.low, record.high
    if symmetric:
        sizes = np.unique(np.abs(edges))
        within = np.interp(sizes, edges, below) - np.interp(-sizes, edges, below)
        bound = float(np.interp(percent / 100 * below[-1], within, sizes))
        # Where all data lie on one side of 0 in a single bin, the end nearer to 0 may lie beyond the threshold.
        return min(max(low, -bound), high), max(min(high, bound), low)
    left, right = _shares(low, high, percent)
    start, stop = np.interp([left * below[-1], right * below[-1]], below, edges)
    # Within an outermost bin the data end at the extremes, not at the edge.
    return _within(float(start), low, high), _within(float(stop), low, high)


def percentile_ranges(blocks: NDArray[np.float32], percent: float, *, symmetric: bool) -> tuple[Bounds, Bounds]:
    """Find the ranges of a constant's blocks (..., K) by linear interpolation between their sorted elements."""
    low, high = blocks.min(axis=-1).astype(np.float64), blocks.max(axis=-1).astype(np.float64)
    if symmetric:
        bound = np.quantile(np.abs(blocks).astype(np.float64), percent / 100, axis=-1)
        return np.maximum(low, -bound), np.minimum(high, bound)
    ordered = np.sort(blocks, axis=-1).astype(np.float64)
    at = np.arange(ordered.shape[-1]) / max(ordered.shape[-1] - 1, 1)
    rows = ordered.reshape(-1, ordered.shape[-1])
    found = np.array([np.interp(_shares(row[0], row[-1], percent), at, row) for row in rows]).reshape(*low.shape, 2)
    return found[..., 0], found[..., 1]


def _shares(low: float, high: float, percent: float) -> tuple[float, float]:
    """Compute the shares of the data that lie below the range's two ends."""
    cut = 1 - percent / 100
    if low >= 0:
        return 0.0, 1 - cut
    return (cut, 1.0) if high <= 0 else (cut / 2, 1 - cut / 2)


def _within(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)
