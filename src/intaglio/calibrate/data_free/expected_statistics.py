"""Make the statistics that calibrators read from expected counts instead of counted data.

Every value is taken as a mixture of clipped normal distributions, one for each channel (see `clipped_gaussian`):

- extremes: the least `mean - 6 std` and the largest `mean + 6 std` of its channels, within known bounds;
- the histogram: how many of `TOTAL` numbers would fall into each bin;
- moving extremes: the value that one sample is expected to reach, exceeded by one of its elements.

So every calibrator works as it does on data.

Source: Nagel et al. 2019, arXiv:1906.04721, section 5 (6 standard deviations).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.prediction import Prediction
from intaglio.calibrate.statistics.histogram import SIDE, Histogram, exponent_for
from intaglio.calibrate.statistics.moving_extremes import MovingExtremes
from intaglio.calibrate.statistics.record import Record
from intaglio.calibrate.statistics.statistics import Statistics
from intaglio.errors import CalibrationError
from intaglio.graph import Graph, graph_fingerprint
from intaglio.plan import Plan
from intaglio.progress import progress

SIGMAS = 6.0
TOTAL = 1 << 40
"""Numbers in a histogram: enough that bins in the tails, out to 6 standard deviations, are not empty."""
_ELEMENTS = 2048  # with more elements than this, those of a channel count as one mixture


def expected_statistics(graph: Graph, plan: Plan, prediction: Prediction) -> Statistics:
    """Predict the statistics of every activation whose range the Plan asks for.

    Raises:
        CalibrationError: the prediction of a value is not finite.
    """
    wanted = [v.name for v in plan.calibrated()]
    records = {}
    for name in progress(wanted, len(wanted), "expected histograms"):
        x = prediction.values[name]
        if not bool((x.mean.isfinite() & x.std.isfinite()).all()):
            raise CalibrationError(
                f"value {name!r}: expected finite moments, got infinite or NaN ones; some weights before it are not "
                "finite, or far too large: repair the model, or give calibration data"
            )
        records[name] = expected_record(x)
    return Statistics(graph_fingerprint(graph), records)


def expected_record(x: ClippedGaussian) -> Record:
    """Predict the statistics that calibration would collect of a value with this distribution."""
    least, most = x.interval(SIGMAS)
    low, high = float(np.float32(least.min())), float(np.float32(most.max()))
    record = Record(low, high, TOTAL, Histogram(exponent_for(max(-low, high, 0.0))), MovingExtremes())
    assert record.histogram is not None and record.moving is not None
    numbers = np.arange(math.trunc(low / record.histogram.width), math.trunc(high / record.histogram.width) + 1)
    # A number on an edge, n * width, counts to the bin farther from 0, for n > 0 and n < 0 alike.
    edges = np.where(numbers[1:] > 0, numbers[1:].astype(np.float64), np.nextafter(numbers[:-1], np.inf))
    below = _share_below(x, edges * record.histogram.width)
    shares = np.diff(np.concatenate([[0.0], np.maximum.accumulate(below), [1.0]]))
    record.histogram.counts[numbers + SIDE - 1] = np.rint(shares * TOTAL).astype(np.int64)
    record.moving.add(0, *_of_one_sample(x, edges * record.histogram.width, below, low, high))
    return record


def _share_below(x: ClippedGaussian, at: np.ndarray) -> np.ndarray:
    """Compute the share of a value's elements below each of some numbers."""
    part = _representatives(x)
    points = torch.as_tensor(at)
    total = torch.zeros(len(points), dtype=torch.float64)
    count = part.mean.numel()
    for start in range(0, count, 64):
        some = ClippedGaussian(
            *(t.expand(count)[start : start + 64, None] for t in (part.mean, part.std, part.low, part.high))
        )
        total += some.below(points).sum(0)
    return (total / max(count, 1)).numpy()


def _representatives(x: ClippedGaussian) -> ClippedGaussian:
    """List the distributions of a value's elements, or, where these are many, of its channels; all (n,)."""
    full = x.mean.shape
    low, high = x.low.expand(full), x.high.expand(full)
    if x.mean.numel() > _ELEMENTS and x.mean.ndim > 2:
        axis = x.mean.ndim - 1 if x.mean.ndim == 3 else 1
        rest = [k for k in range(x.mean.ndim) if k != axis]
        mean = x.mean.mean(rest)
        std = (x.std.square().mean(rest) + x.mean.var(rest, unbiased=False)).sqrt()
        return ClippedGaussian(mean, std, low.amin(rest), high.amax(rest))
    return ClippedGaussian(x.mean.reshape(-1), x.std.reshape(-1), low.reshape(-1), high.reshape(-1))


def _of_one_sample(
    x: ClippedGaussian, edges: np.ndarray, below: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the extremes of one sample: the values that one of its elements is expected to exceed."""
    share = 1 / max(x.mean.numel(), 2)
    if not len(edges):
        return np.array([low]), np.array([high])
    least = np.interp(share, below, edges, left=low, right=high) if below[0] < share else low
    most = np.interp(1 - share, below, edges, left=low, right=high) if below[-1] > 1 - share else high
    return np.array([float(np.clip(least, low, high))]), np.array([float(np.clip(most, low, high))])
