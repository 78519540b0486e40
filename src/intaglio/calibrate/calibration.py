"""Calibrate with data: observe activations, choose calibrators, set every parameter of the Plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from intaglio.calibrate.automatic import ACTIVATION_CANDIDATES, LEAST_GAIN, WEIGHT_CANDIDATES, automatic
from intaglio.calibrate.calibrator_trial import Candidate, Correction
from intaglio.calibrate.calibrators.calibrator import Calibrator
from intaglio.calibrate.calibrators.calibrator_registry import parse_calibrator
from intaglio.calibrate.parameters.choose_params import Named, choose
from intaglio.calibrate.parameters.saturation import saturation_steps
from intaglio.calibrate.statistics.observer import observe
from intaglio.calibrate.statistics.record import Needs
from intaglio.calibrate.statistics.statistics import Statistics
from intaglio.graph import Graph
from intaglio.ops import Role
from intaglio.plan import Plan, Step
from intaglio.plan.step import SQNR
from intaglio.simulate.tensor_batches import Batches
from intaglio.targets.target import AUTO

ALGORITHM = "calibration"


@dataclass(frozen=True)
class Calibration:
    """The result of `calibrate`.

    Args:
        plan: with every parameter set.
        statistics: of the calibration data.
        steps: what was done, for the history.
        candidates: calibrators that `auto` tried, best first; empty otherwise.
    """

    plan: Plan
    statistics: Statistics
    steps: list[Step] = field(default_factory=list)
    candidates: Sequence[Candidate] = ()


def calibrate(
    graph: Graph,
    plan: Plan,
    dataset: Batches,
    *,
    calibrator: str | Calibrator | None = None,
    weight_calibrator: str | Calibrator | None = None,
    correct: Correction | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> Calibration:
    """Find the parameters of every value of a Plan.

    Activations are observed on the float network; weights are taken from the Graph; biases follow from both.

    Args:
        graph: in normal form.
        plan: from `place`; it is left as it is.
        dataset: calibration inputs, anything with `batches(n)`.
        calibrator: of activations: a name that `parse_calibrator` reads, or `auto`; None for the Plan's own.
        weight_calibrator: the same for weights; None for the Plan's own, or `auto` where `calibrator` is.
        correct: applied to the biases of each network before `auto` measures it.
        batch_size: samples at a time (default: see `default_batch_size`). Results depend on it only by the
            order of PyTorch's float32 sums.
        device: default: the GPU when there is one.
    Raises:
        CalibrationError: no samples; NaN or infinity in data or weights; a scale that float32 cannot hold.
        DataError: the data do not fit the Graph.
        UsageError: no such calibrator.
    """
    own = [v.calibrator for v in plan.calibrated()]
    auto = calibrator == AUTO or (calibrator is None and AUTO in own)
    own_weights = [v.calibrator for v in plan.calibrated(Role.WEIGHT)]
    auto_weights = weight_calibrator == AUTO or (weight_calibrator is None and (auto or AUTO in own_weights))
    if auto or auto_weights:
        choices: Sequence[Named] = ACTIVATION_CANDIDATES if auto else (_checked(calibrator),)
        weights: Sequence[Named] = WEIGHT_CANDIDATES if auto_weights else (_checked(weight_calibrator),)
        made, candidates, statistics = automatic(
            graph,
            plan,
            dataset,
            calibrators=choices,
            weight_calibrators=weights,
            correct=correct,
            batch_size=batch_size,
            device=device,
        )
        return Calibration(
            made,
            statistics,
            [*_auto_steps(candidates, statistics, corrected=correct is not None), *saturation_steps(made, ALGORITHM)],
            candidates,
        )
    chosen = [parse_calibrator(calibrator)] if calibrator is not None else [parse_calibrator(c or "max") for c in own]
    _checked(weight_calibrator)
    needs = Needs.EXTREMES
    for c in chosen:
        needs |= c.needs
    statistics = observe(graph, plan, dataset, needs=needs, batch_size=batch_size, device=device)
    made = choose(graph, plan, statistics, calibrator, weight_calibrator)
    names = " and ".join(sorted({c.name for c in chosen})) or "nothing"
    weights_by = " and ".join(sorted({v.calibrator or "" for v in made.calibrated(Role.WEIGHT)})) or "nothing"
    summary = f"calibrated on {statistics.samples} samples: activations by {names}, weights by {weights_by}"
    return Calibration(made, statistics, [Step(ALGORITHM, summary), *saturation_steps(made, ALGORITHM)])


def _checked(calibrator: Named) -> Named:
    """Parse a calibrator's name before data are read, so that an unknown one is refused at once."""
    return None if calibrator is None else parse_calibrator(calibrator)


def _auto_steps(candidates: Sequence[Candidate], statistics: Statistics, *, corrected: bool) -> list[Step]:
    """Describe for the history what `auto` chose and why, and what else it tried."""
    best = candidates[0]
    named = f"activations by {best.calibrator} and weights by {best.weight_calibrator}"
    reached = f"{best.sqnr:.2f} dB SQNR on {best.samples} held-back samples" + " with biases corrected" * corrected
    taken = f"calibrated on {statistics.samples} samples: {named}, of {len(candidates)} candidates; {reached}"
    rule = f"another than the default is taken where it gains {LEAST_GAIN} dB, and more than the gain's uncertainty"
    others = "; ".join(
        f"{c.calibrator} with {c.weight_calibrator} {c.sqnr:.2f}"
        + (f" (gains {c.gain:+.2f} +- {c.uncertainty:.2f})" if c.uncertainty else "")
        + (f" (on {c.samples})" if c.samples != best.samples else "")
        for c in candidates[1:]
    )
    tried = f"others, in dB SQNR ({rule}): {others}" if others else "there were no other candidates"
    return [Step(ALGORITHM, taken, SQNR, after=best.sqnr, samples=best.samples), Step(ALGORITHM, tried)]
