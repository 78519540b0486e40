"""The course of a training: loss, learning rate and accuracy over its steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """What was seen at one step.

    Args:
        step: optimizer steps done.
        epoch: passes over the data done.
        loss: mean over the steps since the point before.
        lr: learning rate of the last of them.
        score: simulated top-1 in percent on the samples held back; None where nothing was evaluated.
        seconds: of training so far.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    score: float | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)
