"""What an algorithm made of a network: kept where it measured better, else what was there before."""

from __future__ import annotations

from dataclasses import dataclass, field

from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.plan import Plan, Step
from intaglio.plan.step import trial_step


@dataclass(frozen=True)
class Recovery:
    """What an algorithm made of a network.

    Args:
        graph, plan: the better ones of before and after.
        steps: what was done, and what it gained.
        gain: dB of output SQNR that it gained on held-back samples; negative where it was reverted.
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
    """Measure both on the trial's samples, and keep what is better; of equals what was there before.

    Args:
        trial: held-back samples with the float outputs.
        algorithm: for the history.
        text: what was done, without the numbers of the measurement.
        before, after: (graph, plan).
        reached: by `after`, in dB, where it is known.
    """
    was, became = trial.sqnr(*before), trial.sqnr(*after) if reached is None else reached
    kept = became > was
    step = trial_step(algorithm, text, was, became, trial.samples, kept=kept)
    return Recovery(*(after if kept else before), [step], became - was)
