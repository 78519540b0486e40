"""What one way of quantizing a network does to its outputs, in decibels and in the task's own metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from intaglio.errors import DataError
from intaglio.evaluation.evaluate import METRICS
from intaglio.evaluation.sqnr import MOST


@dataclass(frozen=True)
class Effect:
    """How far the outputs are from those of the float network.

    Args:
        sqnr: on held-back samples, in dB, within +-200 (see `evaluation.sqnr`).
        score: the task metric on labelled samples; None where there were none, NaN where it has no value.
    """

    sqnr: float
    score: float | None = None

    @property
    def noise(self) -> float:
        """Power of the error as a share of the signal's."""
        return float(10.0 ** (-self.sqnr / 10))

    def to_json(self) -> dict[str, Any]:
        """As plain data; a NaN, which JSON has not, as text."""
        if self.score is None:
            return {"sqnr": self.sqnr}
        return {"sqnr": self.sqnr, "score": self.score if math.isfinite(self.score) else repr(self.score)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Effect:
        """Read what `to_json` gave."""
        sqnr = float(data["sqnr"])
        if not abs(sqnr) <= MOST:
            raise ValueError(f"sqnr: expected {-MOST:g} to {MOST:g} dB, got {sqnr}")
        return cls(sqnr, float(data["score"]) if "score" in data else None)


@dataclass
class Scores:
    """A task metric, averaged over batches."""

    metric: str
    total: float = 0.0
    samples: int = field(default=0)

    def add(self, y: Tensor, label: Any) -> None:
        """A batch of outputs (n, ...) and its labels (n,) or targets."""
        if len(y) != len(label):
            raise DataError(f"labels: expected one for each of {len(y)} outputs, got {len(label)}")
        self.total += float(METRICS[self.metric](y.cpu().numpy(), label).sum())
        self.samples += len(label)

    @property
    def value(self) -> float:
        """The mean; NaN where it has none."""
        return self.total / self.samples if self.samples else math.nan
