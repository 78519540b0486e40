"""Search for the range with the smallest cost by shrinking the extremes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.calibrate.calibrators.calibrator import Bounds
from intaglio.number import PerChannel, QuantParams, Scheme, choose_params
from intaglio.plan import Format

Cost = Callable[[Bounds, Bounds], NDArray[np.float64]]

SMALLEST_RATIO = 1 / 32
STEPS = 24  # neighbouring candidates are 16 % apart, and 2 % where the search is refined
_REFINE = 8
_OCTAVES = 6  # power-of-two scales tried below that of the extremes


def candidates(steps: int = STEPS, smallest: float = SMALLEST_RATIO) -> Bounds:
    """List ratios from 1 down to `smallest`, in equal proportions: fine where ranges are small, coarse where large."""
    return np.geomspace(1.0, smallest, steps)


def smallest_cost(low: float, high: float, fmt: Format, cost: Cost, steps: int = STEPS) -> tuple[float, float]:
    """Find the range within [low, high] with the smallest cost; of equals, the widest.

    One threshold for symmetric formats. Two ends for asymmetric ones: both shrink together, then each alone while the
    other stays, twice.

    Args:
        low, high: extremes of the data, low < high.
        fmt: the number format that the range is for.
        cost: of candidate ranges (M,), (M,) -> (M,).
        steps: number of candidates of a line search.
    """
    if fmt.scheme is Scheme.POWER_OF_TWO:
        bound = octaves(np.asarray(low), np.asarray(high), fmt)
        return _best(*clipped(low, high, -bound, bound), cost)[:2]
    ratios = candidates(steps)
    if fmt.scheme is Scheme.SYMMETRIC or low >= 0 or high <= 0:
        largest = max(-low, high)

        def line(ratio: Bounds) -> tuple[Bounds, Bounds]:
            return clipped(low, high, -largest * ratio, largest * ratio)

        return _refined(line, ratios, cost)
    a, b = _refined(lambda r: (low * r, high * r), ratios, cost)
    for _ in range(2):
        a, b = _refined(lambda r, a=a: (np.full(r.shape, a), high * r), ratios, cost)  # type: ignore[misc]
        a, b = _refined(lambda r, b=b: (low * r, np.full(r.shape, b)), ratios, cost)  # type: ignore[misc]
    return a, b


def octaves(low: NDArray[np.float64], high: NDArray[np.float64], fmt: Format) -> Bounds:
    """List thresholds with power-of-two scales: the one that holds [low, high], its half, and so on, on axis 0."""
    params = params_for(np.atleast_1d(low), np.atleast_1d(high), fmt)
    top = (params.type.qmax - params.zero_point) * params.scale.astype(np.float64)
    return np.exp2(-np.arange(_OCTAVES + 1)).reshape(-1, *(1,) * low.ndim) * top.reshape(low.shape)


def params_for(low: Bounds, high: Bounds, fmt: Format) -> QuantParams:
    """Choose the parameters of many candidate ranges (M,) at once."""
    return choose_params(low, high, fmt.type, fmt.scheme, PerChannel(0))


def _refined(line: Callable[[Bounds], tuple[Bounds, Bounds]], ratios: Bounds, cost: Cost) -> tuple[float, float]:
    """Find the best of a line of candidates, then the best between its neighbours."""
    *_, best = _best(*line(ratios), cost)
    near = np.linspace(ratios[max(best - 1, 0)], ratios[min(best + 1, len(ratios) - 1)], 2 * _REFINE + 1)
    return _best(*line(near), cost)[:2]


def _best(lows: Bounds, highs: Bounds, cost: Cost) -> tuple[float, float, int]:
    costs = cost(lows, highs)
    best = int(np.argmin(costs))
    return float(lows[best]), float(highs[best]), best


def clipped(low: ArrayLike, high: ArrayLike, lows: Bounds, highs: Bounds) -> tuple[Bounds, Bounds]:
    """Clip candidates to the extremes; where all data lie beyond both bounds, both ends are at the nearer bound."""
    return np.minimum(np.maximum(low, lows), highs), np.maximum(np.minimum(high, highs), lows)
