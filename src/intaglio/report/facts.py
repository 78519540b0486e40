"""What a report is made of, besides Graph and Plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from intaglio.measure import Gate, LayerDifference, Score


@dataclass(frozen=True)
class Facts:
    """Measured facts about one quantization; everything is optional, and what is missing is left out.

    Args:
        scores: by stage: float, simulated, integer.
        agreement: percent of samples with the same prediction, by pair: "simulated and integer", "float and integer".
        layers: float against the integer program, value by value.
        gates: sanity gates.
        nbytes: parameter bytes by stage: float, integer.
        seconds: by step: load, calibrate, lower, evaluate.
        peak_memory_bytes: of the whole process.
        history: one sentence per step.
        target: description of the target.
    """

    scores: Mapping[str, Score] = field(default_factory=dict)
    agreement: Mapping[str, float] = field(default_factory=dict)
    layers: Sequence[LayerDifference] = ()
    gates: Sequence[Gate] = ()
    nbytes: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    history: Sequence[str] = ()
    target: str = ""
