"""One step in the history of a quantized network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SQNR = "SQNR"
"""Signal to quantization noise of the outputs on held-back samples, in dB."""


@dataclass(frozen=True)
class Step:
    """One step: a sentence, and the metric before and after it.

    Args:
        algorithm: its name, such as `bias correction`; `graph` for passes over the float network.
        text: one sentence.
        metric: what was measured: `SQNR` in dB, or a task metric such as `top1`; empty if nothing was.
        before, after: the metric without and with the step.
        samples: number of samples of the measurement.
        kept: whether the step was kept; None if there was no decision.
    """

    algorithm: str
    text: str
    metric: str = ""
    before: float | None = None
    after: float | None = None
    samples: int = 0
    kept: bool | None = None

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data; numbers that JSON does not have (an infinite ratio) become text."""
        return {
            name: repr(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
            if value is not None
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        """Read what `to_json` gave."""
        numbers = {name: float(data[name]) for name in ("before", "after") if name in data}
        return cls(**{**data, **numbers})


def trial_step(algorithm: str, text: str, before: float, after: float, samples: int, *, kept: bool) -> Step:
    """Make a step that was measured by output SQNR, with the numbers and the decision in its text."""
    words = f"{text}: output SQNR {before:.2f} -> {after:.2f} dB on {samples} held-back samples"
    return Step(algorithm, f"{words}; {'kept' if kept else 'reverted'}", SQNR, before, after, samples, kept)
