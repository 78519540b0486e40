"""Entropy: the range with the smallest Kullback-Leibler divergence between the data and their quantized form.

For each candidate range,

- P, the reference: the histogram inside the range, what lies outside folded onto the outermost bins that hold data;
- Q, the quantized distribution: the histogram inside the range only, the mass of each code spread evenly over the bins
  that round to it and hold data. (If Q held the outside too, clipping would cost nothing.)

and the cost is `sum P log(P / Q) - P + Q`, both as shares of all data: the divergence of distributions that need not
have the same sum (I-divergence, Csiszar 1975), at least 0, and 0 only where nothing is clipped and every bin keeps its
mass. This is TensorRT's calibration (Migacz, GTC 2017; Wu et al. 2020, arXiv:2004.09602, section 4.3), except where its
reference implementation has quirks:

- Q is not normalised. If it were, a range that clips all but one bin would be free: P and Q would both be 1 there. For
  a clipped share d the two costs differ by -log(1 - d) - d, about d**2 / 2;
- codes are those of the real grid (round to nearest, a half step at the ends), for any format and for both ends of an
  asymmetric one, instead of 128 groups of |x|;
- the outside is folded onto a bin that holds data; folded onto an empty one, P log(P / Q) is infinite or depends on
  the smoothing that hides it;
- bin 0 is left out: real 0 is exact on every grid, and the zeros behind a ReLU would drown the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from intaglio.calibrate.calibrators.calibrator import Bounds
from intaglio.calibrate.calibrators.range_search import params_for, smallest_cost
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.plan import Format

SIDE = 2048  # bins on each side, as TensorRT


@dataclass(frozen=True)
class Entropy:
    """Takes the range that loses least information."""

    needs: ClassVar[Needs] = Needs.HISTOGRAM
    name: ClassVar[str] = "entropy"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return entropy_range(record, fmt)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        # A channel has few elements, and a network many channels: fewer bins and candidates keep this to seconds.
        rows = blocks.reshape(-1, blocks.shape[-1])
        found = np.array([entropy_range(_record_of(row), fmt, side=256, steps=32) for row in rows])
        return found[:, 0].reshape(blocks.shape[:-1]), found[:, 1].reshape(blocks.shape[:-1])


def entropy_range(record: Record, fmt: Format, side: int = SIDE, steps: int = 64) -> tuple[float, float]:
    """Find the range of an activation with the smallest divergence.

    Args:
        record: with a histogram.
        fmt: the number format that the range is for.
        side: most bins on each side of 0.
        steps: number of candidates of a line search.
    """
    assert record.histogram is not None
    counts, edges = record.histogram.used(side)
    live = (counts > 0) & ((edges[:-1] >= 0) | (edges[1:] <= 0))
    if not record.low < record.high or live.sum() < 2:
        return record.low, record.high
    mass, middle = counts[live].astype(np.float64), ((edges[:-1] + edges[1:]) / 2)[live]

    def cost(low: Bounds, high: Bounds) -> NDArray[np.float64]:
        params = params_for(low, high, fmt)
        scale, zero_point = params.scale.astype(np.float64)[:, None], params.zero_point[:, None]
        steps = np.rint(middle / scale)
        return divergence(mass, steps, fmt.type.qmin - zero_point, fmt.type.qmax - zero_point)

    return smallest_cost(record.low, record.high, fmt, cost, steps)


def divergence(mass: Bounds, codes: Bounds, first: NDArray[np.int32], last: NDArray[np.int32]) -> NDArray[np.float64]:
    """Compute `sum P log(P / Q) - P + Q` for M candidate grids; infinite where all data lie outside a grid.

    Args:
        mass: count of each bin that holds data, (B,), in ascending order of x.
        codes: of each bin before saturation, (M, B).
        first, last: smallest and largest code of each grid, (M, 1).
    Returns:
        (M,).
    """
    count, bins = codes.shape
    inside = (codes >= first) & (codes <= last)
    held = np.where(inside, mass, 0.0)
    # Bins with the same code are neighbours: runs, over all candidates. Sums of counts are exact in any order.
    starts = np.ones((count, bins), bool)
    starts[:, 1:] = codes[:, 1:] != codes[:, :-1]
    begins = np.flatnonzero(starts)
    sizes = np.diff(begins, append=starts.size)
    means = np.add.reduceat(held.reshape(-1), begins) / sizes
    q = np.where(inside, np.repeat(means, sizes).reshape(count, bins), 0.0)

    p = held.copy()
    rows = np.arange(count)
    left, right = inside.argmax(axis=1), bins - 1 - inside[:, ::-1].argmax(axis=1)
    p[rows, left] += np.where(codes < first, mass, 0.0).sum(axis=1)
    p[rows, right] += np.where(codes > last, mass, 0.0).sum(axis=1)
    empty = ~inside.any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(inside, p * np.log(p / q), 0.0)
    cost = (terms.sum(axis=1) + q.sum(axis=1)) / mass.sum() - 1.0
    return np.where(empty, np.inf, cost)


def _record_of(x: NDArray[np.float32]) -> Record:
    record = Record.empty(Needs.HISTOGRAM)
    record.add(torch.as_tensor(np.ascontiguousarray(x)), 0, 1)
    return record
