"""Effect of a quantization on the outputs: SQNR in dB and the task metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from intaglio.errors import DataError
from intaglio.evaluation.metric import Metric, targets_of
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


class Scores:
    """Task metric over all samples of several batches."""

    def __init__(self, metric: Metric) -> None:
        self.metric, self.samples = metric, 0
        self._state = metric.way.begin()

    def add(self, outputs: tuple[Tensor, ...], labels: Any) -> None:
        """Add a batch: outputs (N, ...), and as many labels."""
        if len(outputs[0]) != len(labels):
            raise DataError(f"labels: expected one for each of {len(outputs[0])} outputs, got {len(labels)}")
        self._state = self.metric.way.add(self._state, tuple(y.cpu().numpy() for y in outputs), targets_of(labels))
        self.samples += len(labels)

    @property
    def value(self) -> float:
        """The metric of all samples; NaN without samples."""
        return self.metric.way.value(self._state) if self.samples else math.nan
