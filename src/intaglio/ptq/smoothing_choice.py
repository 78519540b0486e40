"""Choose the alpha of activation equalization that measures best, if any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from intaglio.calibrate.parameters.choose_params import Named
from intaglio.errors import IntaglioError
from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.plan import Plan, Step
from intaglio.plan.step import trial_step
from intaglio.ptq.quick_trial import LEAST_GAIN, LEAST_GAIN_CAPS, QuickTrial
from intaglio.recover.equalization import TOLERANCE, output_difference
from intaglio.recover.smooth import ALGORITHM, ALPHAS, smoothed
from intaglio.simulate.tensor_batches import Batches


@dataclass(frozen=True)
class Smoothed:
    """The result of activation equalization.

    Args:
        graph: the equalized one, or the given one where nothing was better.
        steps: what was tried, for the history.
        changed: whether the graph is not the given one.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    changed: bool = False


def choose_smoothing(
    graph: Graph,
    plan_for: Callable[[Graph], Plan],
    dataset: Batches,
    samples: Samples,
    held_back: Samples,
    *,
    calibrator: Named = None,
    weight_calibrator: Named = None,
) -> tuple[Graph, list[Step]]:
    """Equalize the channels of activations as `smooth_activations` does; arguments as there."""
    parts = (graph, plan_for, dataset, samples, held_back)
    made = smooth_activations(*parts, calibrator=calibrator, weight_calibrator=weight_calibrator)
    return made.graph, made.steps


def smooth_activations(
    graph: Graph,
    plan_for: Callable[[Graph], Plan],
    dataset: Batches,
    samples: Samples,
    held_back: Samples,
    *,
    calibrator: Named = None,
    weight_calibrator: Named = None,
    alphas: tuple[float, ...] = ALPHAS,
) -> Smoothed:
    """Equalize the channels of activations, with the alpha that measures best.

    Args:
        graph: in normal form, batch norm folded; it is left as it is.
        plan_for: places a network.
        dataset: all calibration data; read once per candidate.
        samples: part of the data, for ranges and means.
        held_back: another part, on which candidates are compared.
        calibrator, weight_calibrator: of the candidates; `auto` is replaced by a quick one.
        alphas: candidates; 0 balances by weights alone, 1 by activations alone.
    Returns:
        The network to place and calibrate. Scaled values have new names, as a name stands for one real tensor.
    Raises:
        CalibrationError, DataError: the data do not fit or hold no range.
    """
    found = [(alpha, smoothed(graph, samples, alpha)) for alpha in alphas]
    candidates = [(alpha, *made) for alpha, made in found if made is not None]
    if not candidates:
        return Smoothed(graph, [Step(ALGORITHM, f"{ALGORITHM}: no activation whose channels can be scaled")])
    trial = QuickTrial(graph, plan_for, dataset, samples, held_back, calibrator, weight_calibrator)
    before = best = trial.sqnr(graph)
    chosen, steps = graph, []
    tried: list[tuple[Graph, str, float]] = []
    for alpha, made, groups, caps in candidates:
        text = f"{ALGORITHM} of {groups} activations, alpha {alpha:g}"
        difference = output_difference(graph, made)
        if not difference <= TOLERANCE:
            text += f"; the outputs changed by {difference:.2g} of the largest: reverted"
            steps.append(Step(ALGORITHM, text, kept=False))
            continue
        try:
            reached = trial.sqnr(made)
        except IntaglioError as error:
            steps.append(Step(ALGORITHM, f"{text}; it cannot be quantized so ({error}); reverted", kept=False))
            continue
        if reached >= before + (LEAST_GAIN_CAPS if caps else LEAST_GAIN) and reached > best:
            chosen, best = made, reached
        tried.append((made, text, reached))
    for made, text, reached in tried:
        words = f"{text} (quick trial with {trial.calibrator})"
        steps.append(trial_step(ALGORITHM, words, before, reached, trial.samples_seen, kept=made is chosen))
    return Smoothed(chosen, steps, chosen is not graph)
