"""Result of a recovery algorithm: the new network if it measured better, otherwise the old one."""

from __future__ import annotations

from dataclasses import dataclass, field

from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.plan import Plan, Step
from intaglio.plan.step import trial_step


@dataclass(frozen=True)
class Recovery:
    """Result of a recovery algorithm.

    Args:
        graph, plan: the better network of before and after.
        steps: history, with the measured gain.
        gain: gain of output SQNR on held-back samples in dB; negative if the algorithm was reverted.
    """

    graph: Graph
    plan: Plan
    steps: list[Step] = field(default_factory=list)
    gain: float = 0.0


def better_of(
    trial: Trial,
    algorithm: str,
    text: str,
    before: tuple[Graph, Plan],
    after: tuple[Graph, Plan],
    reached: float | None = None,
) -> Recovery:
    """Measure both networks on the trial's samples and keep the better one; the old one if they are equal.

    Args:
        trial: held-back samples with the float outputs.
        algorithm: name of the algorithm, for the history.
        text: description for the history, without measured numbers.
        before, after: (graph, plan).
        reached: output SQNR of `after` in dB, if already measured.
    """
    was, became = trial.sqnr(*before), trial.sqnr(*after) if reached is None else reached
    kept = became > was
    step = trial_step(algorithm, text, was, became, trial.samples, kept=kept)
    return Recovery(*(after if kept else before), [step], became - was)
