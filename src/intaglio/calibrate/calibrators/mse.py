"""MSE: the range with the smallest mean squared quantization error, rounding and clipping together.

For an activation the error is integrated over its histogram, data within a bin spread evenly. With step s, codes
n = round(t / s) and r = t - n s, the rounding error's integral is known in closed form,

    integral from 0 to t of (x - s round(x / s))**2 dx = n s**3 / 12 + r**3 / 3

and beyond the last code T it is (t - T)**3 / 3. So a step may be wider than a bin (2 bits) or narrower (16 bits).
For a constant it is the error of its elements themselves. For bipolar codes the best scale has a closed form:

    sum (x - s sign(x))**2 is smallest at s = mean |x|

For ternary codes (int2n) the search finds what ternary weight networks approximate: a threshold of half a step, and as
scale the mean of the magnitudes above it.

Source: Sung et al. 2015, arXiv:1511.06488; Choukroun et al. 2019, arXiv:1902.06822; Rastegari et al. 2016,
arXiv:1603.05279, eq. (6) (bipolar); Li et al. 2016, arXiv:1605.04711, eq. (4)-(5) (ternary).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate.calibrators.calibrator import Bounds
from intaglio.calibrate.calibrators.range_search import candidates, clipped, octaves, params_for, smallest_cost
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.number import Scheme
from intaglio.number.params import SMALLEST_SCALE
from intaglio.plan import Format

_SIDE = 512  # bins on each side in the search: 2 to 4 a step of int8, whose error is integrated exactly anyway
_ROWS = 1 << 16  # elements at a time: five arrays of float32 stay in the second-level cache


@dataclass(frozen=True)
class Mse:
    """Takes the range with the smallest mean squared quantization error."""

    needs: ClassVar[Needs] = Needs.HISTOGRAM
    name: ClassVar[str] = "mse"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return best_range(record, fmt)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        return best_ranges(blocks, fmt)


def best_range(record: Record, fmt: Format) -> tuple[float, float]:
    """Find the range of an activation with the smallest error on its histogram."""
    assert record.histogram is not None
    if not record.low < record.high:
        return record.low, record.high
    counts, edges = record.histogram.used(_SIDE)
    # Bin 0 holds mostly zeros, which are exact on every grid: it is left out.
    density = np.where((edges[:-1] < 0) & (edges[1:] > 0), 0.0, counts / np.diff(edges))
    if not density.any():
        return record.low, record.high

    def cost(low: Bounds, high: Bounds) -> NDArray[np.float64]:
        params = params_for(low, high, fmt)
        scale, zero_point = params.scale.astype(np.float64)[:, None], params.zero_point[:, None]
        first, last = fmt.type.qmin - zero_point, fmt.type.qmax - zero_point
        return np.diff(_integral(edges, scale, first, last), axis=1) @ density

    return smallest_cost(record.low, record.high, fmt, cost)


def _integral(t: Bounds, scale: Bounds, first: NDArray[np.int32], last: NDArray[np.int32]) -> Bounds:
    """Integrate the squared error from 0 to t (B,), for M grids (M, 1) with codes first..last; (M, B)."""
    steps = np.clip(np.rint(t / scale), first, last)
    rest = t - steps * scale  # inside: the rounding error; outside: the distance to the last code
    return steps * (scale**3 / 12) + rest * rest * rest / 3


def best_ranges(blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
    """Find the ranges (...) of a constant's blocks (..., K) with the smallest error of their elements."""
    rows = np.ascontiguousarray(blocks.reshape(-1, blocks.shape[-1]), np.float32)
    low, high = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
    if fmt.type.bipolar:
        best = np.abs(rows).mean(axis=1, dtype=np.float64).reshape(blocks.shape[:-1])
        if fmt.scheme is Scheme.POWER_OF_TWO:  # the error is quadratic in the scale: take the nearer power of two
            below = np.exp2(np.floor(np.log2(np.maximum(best, SMALLEST_SCALE))))
            best = np.where(best > 1.5 * below, 2 * below, below)
        return -best, best
    best_low, best_high = np.empty_like(low), np.empty_like(high)
    step = max(1, _ROWS // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        best_low[part], best_high[part] = _search(rows[part], low[part], high[part], fmt)
    return best_low.reshape(blocks.shape[:-1]), best_high.reshape(blocks.shape[:-1])


def _search(rows: NDArray[np.float32], low: Bounds, high: Bounds, fmt: Format) -> tuple[Bounds, Bounds]:
    """Try candidate ranges for all rows at once; each row keeps its own best."""
    bound = np.maximum(-low, high)
    if fmt.scheme is Scheme.POWER_OF_TWO:
        lines = [clipped(low, high, -t, t) for t in octaves(low, high, fmt)]
        return _best(rows, lines, fmt)
    ratios = candidates(40, 1 / 8)
    if fmt.scheme is Scheme.SYMMETRIC:
        found = _best(rows, [clipped(low, high, -r * bound, r * bound) for r in ratios], fmt)
        near = np.maximum(-found[0], found[1])
        lines = [clipped(low, high, -r * near, r * near) for r in np.linspace(1.05, 0.95, 11)]
        return _best(rows, lines, fmt)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    a, b = _best(rows, [(low * r, high * r) for r in ratios], fmt)
    a, b = _best(rows, [(a, np.minimum(high, b * r)) for r in np.linspace(1.3, 0.7, 25)], fmt)
    return _best(rows, [(np.maximum(low, a * r), b) for r in np.linspace(1.3, 0.7, 25)], fmt)


def _best(rows: NDArray[np.float32], lines: list[tuple[Bounds, Bounds]], fmt: Format) -> tuple[Bounds, Bounds]:
    """Find each row's line with the smallest error; of equals, the first."""
    lows, highs = (np.stack(bounds) for bounds in zip(*lines, strict=True))
    params = params_for(lows.reshape(-1), highs.reshape(-1), fmt)
    scales = params.scale.reshape(*lows.shape, 1)
    zero_points = params.zero_point.reshape(*lows.shape, 1).astype(np.float32)
    least, most = fmt.type.qmin - zero_points, fmt.type.qmax - zero_points
    errors = np.empty(lows.shape)
    step = max(1, _ROWS // max(rows.size, 1))
    for start in range(0, len(lines), step):
        some = slice(start, start + step)
        q = rows / scales[some]
        np.rint(q, out=q)
        np.clip(q, least[some], most[some], out=q)
        q *= scales[some]
        q -= rows
        flat = q.reshape(-1, rows.shape[1])
        errors[some] = np.einsum("ij,ij->i", flat, flat, dtype=np.float64).reshape(-1, len(rows))
    best = errors.argmin(axis=0)[None]
    return np.take_along_axis(lows, best, axis=0)[0], np.take_along_axis(highs, best, axis=0)[0]
