"""Choose the best variant of freed channels, cross-layer equalization and high-bias absorption by quick trials.

Candidates are the network without constant channels, the same with the chains equalized that need no cap per channel,
and with all chains equalized; the best of these with high biases absorbed. Each is placed, calibrated the same quick
way, corrected in its biases and compared with float on held-back samples. Variants that are not better are not
taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from intaglio.calibrate.parameters.choose_params import Named
from intaglio.errors import IntaglioError
from intaglio.evaluation.held_back import DatasetSamples, Samples
from intaglio.graph import Graph
from intaglio.plan import Plan, Step
from intaglio.plan.step import trial_step
from intaglio.ptq.quick_trial import LEAST_GAIN, LEAST_GAIN_CAPS, QuickTrial
from intaglio.recover.absorption import absorb_high_biases
from intaglio.recover.dead_channels import free_constant_channels
from intaglio.recover.equalization import equalize
from intaglio.simulate.tensor_batches import Batches


def choose_equalization(
    graph: Graph,
    plan_for: Callable[[Graph], Plan],
    dataset: Batches,
    samples: Samples,
    held_back: Samples,
    *,
    calibrator: Named = None,
    weight_calibrator: Named = None,
) -> tuple[Graph, list[Step]]:
    """Choose the variant of a network that quantizes best.

    Args:
        graph: in normal form, batch norm folded; it is left as it is.
        plan_for: places a network.
        dataset: all calibration data; read several times.
        samples: part of the data, for ranges and means.
        held_back: another part, on which candidates are compared.
        calibrator, weight_calibrator: of the candidates; `auto` is replaced by a quick one.
    Returns:
        The graph, which is the given one where nothing was better, and steps for the history.
    Raises:
        CalibrationError, DataError: the data do not fit, or give no finite range.
    """
    trial = QuickTrial(graph, plan_for, dataset, samples, held_back, calibrator, weight_calibrator)

    def tried(candidate: Graph, made_by: Step, before: float, needed: float) -> tuple[Step, float]:
        try:
            reached = trial.sqnr(candidate)
        except IntaglioError as error:
            text = f"{made_by}; it cannot be quantized so ({error}); reverted"
            return Step(made_by.algorithm, text, kept=False), -math.inf
        text, kept = f"{made_by} (quick trial with {trial.calibrator})", reached >= needed
        return trial_step(made_by.algorithm, text, before, reached, trial.samples_seen, kept=kept), reached

    freed = free_constant_channels(graph, DatasetSamples(dataset, held=False), DatasetSamples(dataset, held=True))
    steps, base = list(freed.steps), freed.graph
    plain = equalize(base, samples, carry_caps=False)
    capped = equalize(base, samples) if plain.left_out else plain
    candidates = [(plain, LEAST_GAIN)] if plain.changed else []
    if capped.changed and capped.caps:
        candidates.append((capped, LEAST_GAIN_CAPS))
    chosen, unequal = base, trial.sqnr(base) if candidates else -math.inf
    best = unequal
    if not candidates:
        steps += capped.steps
    for made, least in candidates:
        step, reached = tried(made.graph, made.steps[0], unequal, best + least)
        steps.append(step)
        if step.kept:
            chosen, best = made.graph, reached
    absorbed = absorb_high_biases(chosen, held_back, samples=samples)
    if not absorbed.changed:
        return chosen, [*steps, *(absorbed.steps if absorbed.tried else [])]
    best = best if candidates else trial.sqnr(base)
    least = LEAST_GAIN_CAPS if absorbed.caps else LEAST_GAIN
    step, _ = tried(absorbed.graph, absorbed.steps[0], best, best + least)
    return absorbed.graph if step.kept else chosen, [*steps, step]
