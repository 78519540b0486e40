"""Effect of a quantization on the outputs: SQNR in dB and the task metric."""

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
    """Deviation of the outputs from those of the float network.

    Args:
        sqnr: SQNR on held-back samples in dB, clipped to +-200 (see `evaluation.sqnr`).
        score: task metric on labelled samples; None without labelled samples, NaN if undefined.
    """

    sqnr: float
    score: float | None = None

    @property
    def noise(self) -> float:
        """Noise power divided by signal power."""
        return float(10.0 ** (-self.sqnr / 10))

    def to_json(self) -> dict[str, Any]:
        """Return plain data; NaN as text, because JSON lacks it."""
        if self.score is None:
            return {"sqnr": self.sqnr}
        return {"sqnr": self.sqnr, "score": self.score if math.isfinite(self.score) else repr(self.score)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Effect:
        """Read the result of `to_json`."""
        sqnr = float(data["sqnr"])
        if not abs(sqnr) <= MOST:
            raise ValueError(f"sqnr: expected {-MOST:g} to {MOST:g} dB, got {sqnr}")
        return cls(sqnr, float(data["score"]) if "score" in data else None)


@dataclass
class Scores:
    """Task metric averaged over all samples of several batches."""

    metric: str
    total: float = 0.0
    samples: int = field(default=0)

    def add(self, y: Tensor, label: Any) -> None:
        """Add a batch: outputs (N, ...), and labels (N,) or targets (N, ...)."""
        if len(y) != len(label):
            raise DataError(f"labels: expected one for each of {len(y)} outputs, got {len(label)}")
        self.total += float(METRICS[self.metric](y.cpu().numpy(), label).sum())
        self.samples += len(label)

    @property
    def value(self) -> float:
        """Mean over all samples; NaN without samples."""
        return self.total / self.samples if self.samples else math.nan
