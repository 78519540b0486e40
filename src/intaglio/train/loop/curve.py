"""The course of a training: loss, learning rate and accuracy over its steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

METRICS = {"top1": "top-1 held back, %", "sqnr": "SQNR held back, dB"}
"""Scores on the samples held back, more is better: right classes; or how little outputs differ from the teacher's."""


@dataclass(frozen=True)
class Point:
    """What was seen at one step.

    Args:
        step: optimizer steps done.
        epoch: passes over the data done.
        loss: mean over the steps since the point before.
        lr: learning rate of the last of them.
        score: what the simulated network reaches on the samples held back, see `METRICS`; None where nothing was
            evaluated.
        metric: of the score.
        seconds: of training so far.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    score: float | None = None
    seconds: float = 0.0
    metric: str = "top1"

    @property
    def scored(self) -> str:
        """The metric in words."""
        return METRICS[self.metric]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)
