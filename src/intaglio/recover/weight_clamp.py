"""Weight clipping: use narrower weight ranges if clipping a few weights costs less than a larger scale for all.

Candidates for each weight tensor are its calibrated range, 2 and 3 standard deviations, and the range with the smallest
squared weight error. The search starts with the best candidate for the whole network; then each group of neighbouring
layers tries the others, one group after another. The output error on the samples decides; the error on held-back
samples decides whether the result is kept.

Weights are not modified: only their scales and zero points change, and with them those of the biases.

Source: 2 and 3 standard deviations: Wu et al. 2020, arXiv:2004.09602, section 5 (of calibration), and common practice;
squared error: Sung et al. 2015, arXiv:1511.06488.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from intaglio.calibrate.parameters.choose_params import constant_params
from intaglio.calibrate.parameters.derive import derive
from intaglio.evaluation.held_back import Samples
from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.number import QuantParams
from intaglio.ops import Role
from intaglio.plan import Plan
from intaglio.progress import progress
from intaglio.recover.recovery import Recovery, better_of

CANDIDATES = ("sigma-2", "sigma-3", "mse")
MOST_GROUPS = 24
"""Most groups of layers; each group costs one run over the samples for each candidate."""
LEAST_GAIN = 0.02
"""Least gain in dB for another range; less is chance."""

_Params = Mapping[str, QuantParams]


def clamp_weights(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, *, reference: Graph | None = None
) -> Recovery:
    """Try narrower weight ranges.

    Args:
        graph: the prepared network with unrounded weights; not modified.
        plan: calibrated Plan; not modified.
        samples: inputs on which ranges are chosen; some tens are enough.
        held_back: other inputs, on which the outputs are compared with float before and after.
        reference: the float network, if it differs from `graph`.
    Returns:
        The given Graph, and a Plan with other parameters of weights and biases; the given Plan if it was better.
    """
    reference = graph if reference is None else reference
    trial = Trial(reference, samples)
    names = [value.name for value in plan.calibrated(Role.WEIGHT)]
    options: dict[str, _Params] = {name: constant_params(graph, plan, name) for name in CANDIDATES}
    best, level = plan, trial.sqnr(graph, plan)
    chosen = dict.fromkeys(names, "")  # as calibrated
    for option, params in options.items():
        made = _with(graph, plan, names, option, params)
        reached = trial.sqnr(graph, made)
        if reached > level + LEAST_GAIN:
            best, level, chosen = made, reached, dict.fromkeys(names, option)
    groups = _groups(names)
    for group in progress(groups, len(groups), "clamp weights"):
        for option, params in {"": _params(plan), **options}.items():
            if all(chosen[name] == option for name in group):
                continue
            made = _with(graph, best, group, option, params, as_before=plan)
            reached = trial.sqnr(graph, made)
            if reached > level + LEAST_GAIN:
                best, level = made, reached
                chosen.update(dict.fromkeys(group, option))
    counts = {option: list(chosen.values()).count(option) for option in ("", *CANDIDATES)}
    words = ", ".join(f"{count} {option or 'as calibrated'}" for option, count in counts.items() if count)
    text = f"narrower ranges tried for {len(names)} weights: {words}"
    return better_of(Trial(reference, held_back), "weight range clamp", text, (graph, plan), (graph, best))


def _groups(names: list[str]) -> list[list[str]]:
    """Split layers into at most `MOST_GROUPS` groups of neighbours of about equal size."""
    count = min(MOST_GROUPS, len(names))
    return [names[i * len(names) // count : (i + 1) * len(names) // count] for i in range(count)]


def _params(plan: Plan) -> _Params:
    return {v.name: v.params for v in plan.calibrated(Role.WEIGHT) if v.params is not None}


def _with(
    graph: Graph, plan: Plan, names: Collection[str], option: str, params: _Params, *, as_before: Plan | None = None
) -> Plan:
    """Return a copy of the Plan with other parameters of some weights."""
    made = plan.copy()
    for name in names:
        value = made[name]
        value.params = params[name]
        value.calibrator = option or (as_before or plan)[name].calibrator
    derive(graph, made)
    return made
