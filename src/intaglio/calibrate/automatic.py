"""`auto`: every calibrator is tried on held-back data, and the one with the smallest output error is taken.

The float network runs once over all data; all candidates come from the same statistics. One sample in four is held
back, at most `HELD_SAMPLES`. Each candidate's Plan is simulated on them and its outputs compared with the float ones:

    SQNR = 10 log10( sum (y - mean y)**2 / sum (y - y_quantized)**2 )

averaged over outputs; where the network ends in a softmax or sigmoid, of its input, since these hide errors where they
saturate. In the end the chosen calibrator gets the statistics of all samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from intaglio.calibrate.feeds import Batches, Feed, feeds
from intaglio.calibrate.observer import Observer, merged
from intaglio.calibrate.params import Named, assign, constant_params
from intaglio.calibrate.record import Needs
from intaglio.calibrate.shared import SharedData
from intaglio.calibrate.statistics import Statistics
from intaglio.calibrate.trial import Candidate, Pair, Trial, watched_values
from intaglio.errors import CalibrationError
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.number import QuantParams
from intaglio.plan import Plan

ACTIVATION_CANDIDATES = (
    "max", "percentile-99.9999", "percentile-99.999", "percentile-99.99", "percentile-99.9", "mse", "entropy",
    "moving-average",
)  # fmt: skip
WEIGHT_CANDIDATES = ("max", "mse")


HELD_SAMPLES = 64
HELD_BYTES = 256 << 20
_FIRST_ROUND = 8  # samples on which all candidates run; the best few then run on all
_FINALISTS = 3


def automatic(
    graph: Graph,
    plan: Plan,
    dataset: Batches,
    *,
    calibrators: Sequence[Named] = ACTIVATION_CANDIDATES,
    weight_calibrators: Sequence[Named] = WEIGHT_CANDIDATES,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> tuple[Plan, list[Candidate], Statistics]:
    """Choose calibrators by measured output error.

    Args:
        graph, plan: see `calibrate`.
        dataset: calibration inputs; read once.
        calibrators: candidates for activations; None stands for the Plan's own.
        weight_calibrators: candidates for weights; the first is used while activations are decided.
        batch_size, device: see `observe`.
    Returns:
        The Plan, every candidate (best first), and the statistics of all samples.
    Raises:
        CalibrationError: no samples, or what `choose` raises.
    """
    observer = Observer(graph, plan, Needs.HISTOGRAM | Needs.MOVING, device)
    held, shared = _observe_and_hold_parts(observer, dataset, batch_size)
    trial = Trial(graph, observer, held)
    everything = observer.statistics if shared else observer.statistics.merge(trial.statistics)
    constants: dict[Named, dict[str, QuantParams]] = {}

    def build(pair: Pair, statistics: Statistics) -> Plan:
        if pair[1] not in constants:
            constants[pair[1]] = constant_params(graph, plan, pair[1])
        return assign(graph, plan, statistics, *pair, constants[pair[1]])

    plans = {(c, weight_calibrators[0]): build((c, weight_calibrators[0]), observer.statistics) for c in calibrators}
    results = trial.measure(plans, min(_FIRST_ROUND, trial.samples))
    if trial.samples > _FIRST_ROUND:
        finalists = sorted(plans, key=lambda pair: -results[pair].sqnr)[:_FINALISTS]
        results.update(trial.measure({pair: plans[pair] for pair in finalists}, trial.samples))
    best = _best(results)
    others = {(best[0], w): build((best[0], w), observer.statistics) for w in weight_calibrators[1:]}
    results.update(trial.measure(others, trial.samples))
    best = _best(results)
    ranked = sorted(results.items(), key=lambda item: (item[0] != best, -item[1].samples, -item[1].sqnr))
    candidates = [replace(candidate, chosen=pair == best) for pair, candidate in ranked]
    return build(best, everything), candidates, everything


def _best(results: Mapping[Pair, Candidate]) -> Pair:
    """The largest SQNR among those measured on most samples; of equals the first, which is the simplest."""
    most = max(c.samples for c in results.values())
    return max((pair for pair, c in results.items() if c.samples == most), key=lambda pair: results[pair].sqnr)


def _observe_and_hold_parts(
    observer: Observer, dataset: Batches, batch_size: int | None
) -> tuple[list[tuple[int, Feed]], bool]:
    """`_observe_and_hold`, by several processes where they share the data."""
    part = dataset.part(batch_size or observer.batch_size) if isinstance(dataset, SharedData) else None
    if part is None or not isinstance(dataset, SharedData):
        return _observe_and_hold(observer, dataset, batch_size)
    mine, first = part

    def observed() -> tuple[Statistics, list[tuple[int, Feed]]]:
        held, _ = _observe_and_hold(observer, mine, batch_size, first)
        return observer.statistics, held

    found = dataset.processes.every(observed)
    observer.statistics = merged([statistics for statistics, _ in found])
    device = observer.simulator.device
    return [(n, {k: x.to(device) for k, x in feed.items()}) for _, held in found for n, feed in held], False


def _observe_and_hold(
    observer: Observer, dataset: Batches, batch_size: int | None, first: int = 0
) -> tuple[list[tuple[int, Feed]], bool]:
    """Observe three samples in four and keep the others; of fewer than four, the last one is both (True).

    Args:
        observer: keeps the statistics.
        dataset: what is observed.
        batch_size: see `observe`.
        first: number of its first sample, where it is a part of more data.
    """
    held: list[tuple[int, Feed]] = []
    simulator = observer.simulator
    read, kept = first, 0
    last: Feed | None = None
    values = simulator.graph.values()
    of_outputs = sum(4 * math.prod(shape(values[name])) for name in watched_values(simulator.graph))
    for size, feed in feeds(dataset, simulator, batch_size or observer.batch_size, "calibrate"):
        most = HELD_BYTES // (of_outputs + sum(x.nbytes for x in feed.values()) // size)
        limit = min(HELD_SAMPLES, max(most, 1))
        if read == first:
            kept = min(first // 4, limit)  # by whoever reads what is before
        which = np.flatnonzero(np.arange(read, read + size) % 4 == 3)[: max(limit - kept, 0)]
        seen = read - kept
        if len(which):
            held.append((len(which), _rows(feed, which, size)))
            kept += len(which)
        elif read < 4:
            last = _rows(feed, np.array([size - 1]), size)
        others = np.setdiff1d(np.arange(size), which)
        if len(others):
            observer.step(feed if len(others) == size else _rows(feed, others, size), seen, len(others))
        read += size
    if read == first:
        raise CalibrationError("calibration data: expected at least one sample, got none")
    return ([(1, last)], True) if last is not None and not held else (held, False)


def _rows(feed: Feed, which: NDArray[np.int64], size: int) -> Feed:
    """A copy of some samples; a single one is all of the tensors, whatever their axis 0."""
    if size == 1:
        return {name: x.clone() for name, x in feed.items()}
    return {name: x[torch.as_tensor(which, device=x.device)] for name, x in feed.items()}
