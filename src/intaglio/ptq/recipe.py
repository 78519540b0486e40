"""The recipe of post-training quantization: calibrators, and the algorithms that recover accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from intaglio.calibrate import parse_calibrator
from intaglio.calibrate.automatic import AUTO
from intaglio.errors import UsageError
from intaglio.ptq.roundings import ALGORITHMS

NEAREST = "nearest"
ROUNDINGS = (NEAREST, *ALGORITHMS)
"""How weights are rounded: to the nearest code; with the errors made so far (GPTQ); as learned layer by layer
(AdaRound) or block by block (BRECQ)."""


@dataclass(frozen=True)
class Recipe:
    """Options of post-training quantization. Every algorithm is measured, and reverted where it does harm.

    Args:
        calibrator: of activations: a name that `parse_calibrator` reads, or auto; None for the target's own.
        weight_calibrator: the same for weights; None for the target's own, or chosen by auto.
        layers: other formats for some layers, e.g. `{"first": "a16", "features.1*": "w8a16"}`.
        equalize: cut constant channels, equalize channels across layers, absorb high biases.
        smooth: activation equalization: move the spread of activations' channels into the weights that read them.
        clamp_weights: try narrower weight ranges.
        rounding: a name of `ROUNDINGS`.
        iterations: steps per layer of learned rounding; None for the algorithm's own number.
        bias_correction: subtract from biases what rounded weights add to mean outputs.
    Raises:
        UsageError: no such calibrator or rounding; no iterations.
    """

    calibrator: str | None = AUTO
    weight_calibrator: str | None = None
    layers: Mapping[str, str] = field(default_factory=dict)
    equalize: bool = True
    smooth: bool = False
    clamp_weights: bool = False
    rounding: str = NEAREST
    iterations: int | None = None
    bias_correction: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", dict(self.layers or {}))
        for name in (self.calibrator, self.weight_calibrator):
            if name not in (None, AUTO):
                parse_calibrator(str(name))
        if self.rounding not in ROUNDINGS:
            raise UsageError(f"rounding: expected one of {', '.join(ROUNDINGS)}, got {self.rounding!r}")
        if self.iterations is not None and self.iterations < 1:
            raise UsageError(f"iterations: expected at least 1, got {self.iterations}")

    @property
    def recovers(self) -> bool:
        """Whether any algorithm beyond calibration is asked for."""
        cheap = self.equalize or self.smooth or self.clamp_weights or self.bias_correction
        return cheap or self.rounding != NEAREST

    def without_recovery(self) -> Recipe:
        """Make the recipe of plain rounding to the nearest code in calibrated ranges."""
        return replace(self, equalize=False, smooth=False, clamp_weights=False, rounding=NEAREST, bias_correction=False)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data."""
        return {**asdict(self), "layers": dict(self.layers)}
