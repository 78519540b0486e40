"""Calibration without data: statistics that calibrators read, made of expected numbers instead of counted ones.

Every value counts as a mixture of cut normal numbers, one per channel (see `moments`). Of it are taken

- extremes: the least `mean - 6 std` and the largest `mean + 6 std` of its channels, within known bounds;
- the histogram: how many of `TOTAL` numbers would fall into each bin;
- moving extremes: what one sample is expected to reach, exceeded by one of its elements.

So every calibrator works as it does on data.

Source: Nagel et al. 2019, arXiv:1906.04721, section 5 (6 standard deviations).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from intaglio.calibrate.automatic import AUTO
from intaglio.calibrate.calibration import Calibration
from intaglio.calibrate.calibrators import Calibrator
from intaglio.calibrate.choose_params import choose
from intaglio.calibrate.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.histogram import SIDE, Histogram, exponent_for
from intaglio.calibrate.input_moments import InputRange, input_normals
from intaglio.calibrate.moment_rules import propagate
from intaglio.calibrate.moving import MovingExtremes
from intaglio.calibrate.record import Record
from intaglio.calibrate.statistics import Statistics
from intaglio.errors import CalibrationError
from intaglio.graph import Graph, graph_fingerprint
from intaglio.ops import Role
from intaglio.plan import Plan, Step
from intaglio.progress import progress

SIGMAS = 6.0
TOTAL = 1 << 40
"""Numbers in a histogram: enough that the tails, to 6 standard deviations, are no zeros."""
DEFAULT = "max"
"""The calibrator that stands for `auto`, which needs data to compare on."""
_ELEMENTS = 2048  # of a value's elements, above which those of a channel count as one mixture


@dataclass(frozen=True)
class NoData:
    """No calibration data: ranges come from the network itself (see `ptq.data_free`).

    Args:
        input_range: (low, high) of the inputs after preprocessing, or by input name; None: from the first batch norms.
    """

    input_range: InputRange = None


@dataclass(frozen=True)
class Prediction:
    """Moments of all values of a Graph, and where they are known from.

    Args:
        values: by value name.
        inputs: those of the network's inputs.
        text: half a sentence.
    """

    values: dict[str, ClippedGaussian]
    inputs: dict[str, ClippedGaussian]
    text: str

    def of(self, graph: Graph) -> Prediction:
        """The same for another form of the network, with the same inputs."""
        return Prediction(propagate(graph, self.inputs), self.inputs, self.text)


def predict(graph: Graph, input_range: InputRange = None) -> Prediction:
    """Moments of all values without data.

    Args:
        graph: in normal form, loaded by `intaglio.load`, which keeps what batch norm recorded.
        input_range: (low, high) of the inputs, or by input name; None: from the first batch norms.
    Raises:
        CalibrationError: neither batch norm nor a range, or a range that is none.
    """
    inputs, text = input_normals(graph, input_range)
    values = propagate(graph, inputs)
    recorded = sum(name in values for name in graph.moments)
    told = f"{recorded} values as batch norm recorded them, " if recorded else "no batch norm, "
    return Prediction(values, inputs, f"{text}; {told}the others from weights")


def expected_statistics(graph: Graph, plan: Plan, prediction: Prediction) -> Statistics:
    """Statistics of every activation whose range the Plan asks for.

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
    """What calibration would keep of a value."""
    least, most = x.reach(SIGMAS)
    low, high = float(np.float32(least.min())), float(np.float32(most.max()))
    record = Record(low, high, TOTAL, Histogram(exponent_for(max(-low, high, 0.0))), MovingExtremes())
    assert record.histogram is not None and record.moving is not None
    numbers = np.arange(math.trunc(low / record.histogram.width), math.trunc(high / record.histogram.width) + 1)
    # Bin n > 0 holds n * width and bin n < 0 too: the number on an edge counts to the bin that is farther from 0.
    edges = np.where(numbers[1:] > 0, numbers[1:].astype(np.float64), np.nextafter(numbers[:-1], np.inf))
    below = _share_below(x, edges * record.histogram.width)
    shares = np.diff(np.concatenate([[0.0], np.maximum.accumulate(below), [1.0]]))
    record.histogram.counts[numbers + SIDE - 1] = np.rint(shares * TOTAL).astype(np.int64)
    record.moving.add(0, *_of_one_sample(x, edges * record.histogram.width, below, low, high))
    return record


def _share_below(x: ClippedGaussian, at: np.ndarray) -> np.ndarray:
    """The share of a value's elements below some numbers."""
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
    """A value's elements, or, where these are many, one for each channel; all (n,)."""
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
    share = 1 / max(x.mean.numel(), 2)
    if not len(edges):
        return np.array([low]), np.array([high])
    least = np.interp(share, below, edges, left=low, right=high) if below[0] < share else low
    most = np.interp(1 - share, below, edges, left=low, right=high) if below[-1] > 1 - share else high
    return np.array([float(np.clip(least, low, high))]), np.array([float(np.clip(most, low, high))])


def calibrate_without_data(
    graph: Graph,
    plan: Plan,
    *,
    input_range: InputRange = None,
    calibrator: str | Calibrator | None = None,
    weight_calibrator: str | Calibrator | None = None,
    prediction: Prediction | None = None,
) -> Calibration:
    """Find the parameters of every value of a Plan without data.

    Args:
        graph: in normal form, loaded by `intaglio.load`.
        plan: from `place`; it is left as it is.
        input_range: (low, high) of the inputs after preprocessing, or by input name; None: estimated from the first
            batch norms.
        calibrator: of activations: a name that `parse_calibrator` reads; None for the Plan's own. `auto` has nothing to
            compare on and is `DEFAULT`.
        weight_calibrator: the same for weights.
        prediction: from `predict`, where it is at hand.
    Raises:
        CalibrationError: neither batch norm nor a range, or a range that is none.
        UsageError: no such calibrator.
    """
    prediction = prediction or predict(graph, input_range)
    named = _named(plan, Role.ACTIVATION, calibrator)
    weights = _named(plan, Role.WEIGHT, weight_calibrator)
    statistics = expected_statistics(graph, plan, prediction)
    made = choose(graph, plan, statistics, named, weights)
    names = " and ".join(sorted({v.calibrator or "" for v in made.calibrated()})) or "nothing"
    by = " and ".join(sorted({v.calibrator or "" for v in made.calibrated(Role.WEIGHT)})) or "nothing"
    text = f"calibrated without data ({prediction.text}): activations by {names}, weights by {by}"
    return Calibration(made, statistics, [Step("calibration", text)])


def _named(plan: Plan, role: Role, calibrator: str | Calibrator | None) -> str | Calibrator | None:
    if calibrator == AUTO:
        return DEFAULT
    if calibrator is None and any(v.calibrator == AUTO for v in plan.calibrated(role)):
        return DEFAULT
    return calibrator
