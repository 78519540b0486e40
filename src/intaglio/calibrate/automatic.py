"""Choose calibrators by trial on held-back samples: what `auto` does.

The float network runs once over all data; all candidates use the same statistics. One sample in four is held back, at
most `HELD_SAMPLES`. Each candidate's Plan is simulated on them, and its outputs are compared with the float ones (see
`evaluation.sqnr`). Where the network ends in a softmax or sigmoid, the inputs of this function are compared instead, as
it hides errors where it saturates. Where biases are corrected after calibration, they are corrected in each candidate
too: while rounding shifts every mean, all candidates may have about 0 dB, and the differences between them are chance.

The default is the target's own calibrator. Another one is taken where its SQNR is higher by more than `LEAST_GAIN` and
by more than the uncertainty of this gain; of several, the one with the highest SQNR. The chosen calibrator then gets
the statistics of all samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from intaglio.calibrate.calibrator_trial import CalibratorTrial, Candidate, Correction, Pair, label
from intaglio.calibrate.parameters.choose_params import Named, assign, constant_params
from intaglio.calibrate.statistics.observer import Observer, merged
from intaglio.calibrate.statistics.record import Needs
from intaglio.calibrate.statistics.shared_data import SharedData
from intaglio.calibrate.statistics.statistics import Statistics
from intaglio.errors import CalibrationError
from intaglio.evaluation.sqnr import SignalToNoise
from intaglio.evaluation.trial import watched_values
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.number import QuantParams
from intaglio.ops import Role
from intaglio.plan import Plan, ValuePlan
from intaglio.samples import HELD_BACK, is_held_back
from intaglio.simulate.tensor_batches import Batches, Feed, feeds, rows
from intaglio.targets.target import AUTO

ACTIVATION_CANDIDATES = (
    "max", "percentile-99.9999", "percentile-99.999", "percentile-99.99", "percentile-99.9", "mse", "entropy",
    "moving-average",
)  # fmt: skip
WEIGHT_CANDIDATES = ("max", "mse")

LEAST_GAIN = 0.5
"""Least gain in dB over the default: 11 % of the noise power."""
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
    correct: Correction | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> tuple[Plan, list[Candidate], Statistics]:
    """Choose the calibrators of activations and weights by measured output error. The target's own are the default.

    Args:
        graph, plan: see `calibrate`.
        dataset: calibration inputs; read once.
        calibrators: candidates for activations; None stands for the Plan's own.
        weight_calibrators: candidates for weights; the default is used while activations are decided.
        correct: applied to the biases of each candidate before it is measured.
        batch_size, device: see `observe`.
    Returns:
        The Plan, every candidate (best first), and the statistics of all samples.
    Raises:
        CalibrationError: no samples, or what `choose` raises.
    """
    observer = Observer(graph, plan, Needs.HISTOGRAM | Needs.MOVING, device)
    held, shared = _observe_and_hold_parts(observer, dataset, batch_size)
    trial = CalibratorTrial(graph, observer, held, correct)
    everything = observer.statistics if shared else observer.statistics.merge(trial.statistics)
    constants: dict[Named, dict[str, QuantParams]] = {}

    def build(pair: Pair, statistics: Statistics) -> Plan:
        if pair[1] not in constants:
            constants[pair[1]] = constant_params(graph, plan, pair[1])
        return assign(graph, plan, statistics, *pair, constants[pair[1]])

    activations = default_first(calibrators, plan.calibrated())
    weights = default_first(weight_calibrators, plan.calibrated(Role.WEIGHT))
    default = (activations[0], weights[0])
    plans: dict[Pair, Plan] = {(c, weights[0]): build((c, weights[0]), observer.statistics) for c in activations}
    results, candidates = _in_two_rounds(trial, plans, default)
    best = _best(default, {pair: candidates[pair] for pair in results})
    others: dict[Pair, Plan] = {(best[0], w): build((best[0], w), observer.statistics) for w in weights[1:]}
    with_weights = _against(best, {best: results[best], **trial.of_plans(others, trial.samples)})
    candidates.update({pair: candidate for pair, candidate in with_weights.items() if pair != best})
    best = _best(best, with_weights)
    ranked = sorted(candidates.items(), key=lambda item: (item[0] != best, -item[1].samples, -item[1].sqnr))
    chosen = [replace(candidate, chosen=pair == best) for pair, candidate in ranked]
    return build(best, everything), chosen, everything


def _in_two_rounds(
    trial: CalibratorTrial, plans: Mapping[Pair, Plan], default: Pair
) -> tuple[dict[Pair, SignalToNoise], dict[Pair, Candidate]]:
    """Measure all Plans on the first held-back samples, then the best few and the default on all of them.

    Returns:
        The measurements of the last round, and every candidate as it was last measured.
    """
    results = trial.of_plans(plans, min(_FIRST_ROUND, trial.samples))
    candidates = _against(default, results)
    if trial.samples > _FIRST_ROUND:
        finalists = {default, *sorted(plans, key=lambda pair: -results[pair].sqnr)[:_FINALISTS]}
        results = trial.of_plans({pair: plans[pair] for pair in plans if pair in finalists}, trial.samples)
        candidates.update(_against(default, results))
    return results, candidates


def default_first(names: Sequence[Named], values: Iterable[ValuePlan]) -> list[Named]:
    """Put the target's own calibrator first among the candidates.

    It is None where the values of the Plan have different ones, or one that is not in `names`.
    """
    own = {value.calibrator or "max" for value in values}
    if len(names) == 1:
        return list(names)
    first: Named = None
    if not own or AUTO in own:
        first = names[0]
    elif len(own) == 1 and own <= set(names):
        (first,) = own
    return [first, *(name for name in names if name != first)]


def _against(default: Pair, results: Mapping[Pair, SignalToNoise]) -> dict[Pair, Candidate]:
    """Compare the SQNR of each candidate with the default's on the same samples."""
    found = {}
    for pair, noise in results.items():
        gain = (0.0, 0.0) if pair == default else noise.gain_over(results[default])
        found[pair] = Candidate(label(pair[0]), label(pair[1]), noise.sqnr, noise.samples, False, *gain)
    return found


def _best(default: Pair, candidates: Mapping[Pair, Candidate]) -> Pair:
    """Find the candidate with the highest SQNR among those whose gain over the default is certain; else the default."""
    better = [pair for pair, c in candidates.items() if c.gain > max(LEAST_GAIN, c.uncertainty)]
    return max(better, key=lambda pair: candidates[pair].sqnr, default=default)


def _observe_and_hold_parts(
    observer: Observer, dataset: Batches, batch_size: int | None
) -> tuple[list[tuple[int, Feed]], bool]:
    """Do what `_observe_and_hold` does; of data that processes share, each of them observes a part."""
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
    """Observe three samples in four and hold back the others; of fewer than four, the last one is both.

    Args:
        observer: collects the statistics.
        dataset: calibration inputs.
        batch_size: see `observe`.
        first: number of the dataset's first sample, where it is a part of more data.
    Returns:
        Held-back batches as (number of samples, inputs by name), and whether their samples are observed too.
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
            kept = min(first * HELD_BACK[0] // HELD_BACK[1], limit)  # by the processes that read earlier parts
        which = np.flatnonzero(is_held_back(np.arange(read, read + size)))[: max(limit - kept, 0)]
        seen = read - kept
        if len(which):
            held.append((len(which), rows(feed, which, size)))
            kept += len(which)
        elif read < HELD_BACK[1]:
            last = rows(feed, np.array([size - 1]), size)
        others = np.setdiff1d(np.arange(size), which)
        if len(others):
            observer.step(feed if len(others) == size else rows(feed, others, size), seen, len(others))
        read += size
    if read == first:
        raise CalibrationError("calibration data: expected at least one sample, got none")
    return ([(1, last)], True) if last is not None and not held else (held, False)
