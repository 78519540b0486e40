"""Training curve: loss, learning rate and score over the steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

METRICS = {"top1": "top-1 held back, %", "sqnr": "SQNR held back, dB"}
"""Usual scores on validation samples: accuracy, or SQNR of the outputs against the teacher's."""


@dataclass(frozen=True)
class Point:
    """Point of the training curve.

    Args:
        step: optimizer steps so far.
        epoch: epochs so far.
        loss: mean loss over the steps since the previous point.
        lr: learning rate of the last step.
        score: score of the simulated network on the validation samples; None without evaluation.
        metric: name of the score: of `METRICS`, of a metric, or "loss" for a user's loss.
        seconds: seconds of training so far.
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
        """Description of the score."""
        return METRICS.get(self.metric, f"{self.metric} held back")

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
