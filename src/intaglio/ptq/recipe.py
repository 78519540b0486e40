"""The recipe of post-training quantization: calibrators, and the algorithms that recover accuracy.

A field of `Recipe` made by `recovery` is the registry row of an algorithm: the driver runs it, the command line offers
it, and the pages list it. This module loads neither PyTorch nor ONNX, so that the command line shows its help at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from intaglio.errors import UsageError, check_whole
from intaglio.plan.layers import with_ignored
from intaglio.ptq.roundings import ALGORITHMS
from intaglio.targets.target import AUTO

if TYPE_CHECKING:
    from intaglio.calibrate.calibrators.calibrator import Calibrator

NEAREST = "nearest"
ROUNDINGS = (NEAREST, *ALGORITHMS)
"""How weights are rounded: to the nearest code; with the errors made so far (GPTQ); as learned layer by layer
(AdaRound) or block by block (BRECQ)."""


@dataclass(frozen=True)
class RecoveryRow:
    """A recovery algorithm that a recipe switches on or off.

    Args:
        function: `module:name` below `intaglio`, loaded when it runs. Before calibration it changes the Graph:
            `(graph, plan_for, dataset, samples, held_back, *, calibrator, weight_calibrator) -> (graph, steps)`; after
            it the Plan: `(graph, plan, samples, held_back, *, reference) -> Recovery`.
        help: what it does, for the command line and the pages.
        before_calibration: which of the two it is.
        without_data: `quantize_without_data` has a form of it; others are refused without data.
    """

    function: str
    help: str
    before_calibration: bool = False
    without_data: bool = False

    def load(self) -> Any:
        """Import the function."""
        module, _, name = self.function.partition(":")
        return getattr(import_module(f"intaglio.{module}"), name)


def recovery(default: bool, function: str, help: str, **more: bool) -> Any:
    """Declare a field of `Recipe` that switches a recovery algorithm; they run in the order of the fields."""
    return field(default=default, metadata={"row": RecoveryRow(function, help, **more)})


@dataclass(frozen=True)
class Recipe:
    """Options of post-training quantization. Every algorithm is measured, and reverted where it does harm.

    Args:
        calibrator: of activations: a name that `parse_calibrator` reads, a Calibrator, or auto; None for the target's
            own.
        weight_calibrator: the same for weights; None for the target's own, or chosen by auto.
        layers: other formats for some layers by name, e.g. `{"first": "a16", "features.1": "w8a16", "*.head": "a16"}`
            (see `intaglio.plan.layer_patterns`).
        ignored: layers that keep the most bits that the target has for them, by name, as an integer program has no
            float layers: short for the format `widest` in `layers`.
        equalize: cut constant channels, equalize channels across layers, absorb high biases.
        smooth: activation equalization: move the spread of activations' channels into the weights that read them.
        clamp_weights: try narrower weight ranges.
        rounding: a name of `ROUNDINGS`.
        iterations: steps per layer of learned rounding; None for the algorithm's own number.
        bias_correction: subtract from biases what rounded weights add to mean outputs.
    Raises:
        UsageError: no such calibrator or rounding; no iterations.
    """

    calibrator: str | Calibrator | None = AUTO
    weight_calibrator: str | Calibrator | None = None
    layers: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    equalize: bool = recovery(
        True,
        "ptq.equalization_choice:choose_equalization",
        "remove constant channels and equalize channel ranges across layers; kept only if the output error falls",
        before_calibration=True,
        without_data=True,
    )
    smooth: bool = recovery(
        False,
        "ptq.smoothing_choice:choose_smoothing",
        "scale down activation channels with outliers and scale up the following weights; kept only if the output "
        "error falls",
        before_calibration=True,
    )
    clamp_weights: bool = recovery(
        False,
        "recover.weight_clamp:clamp_weights",
        "try clipped weight ranges; kept only if the output error falls",
    )
    rounding: str = NEAREST
    iterations: int | None = None
    bias_correction: bool = recovery(
        True,
        "recover.bias_correction:correct_biases",
        "correct biases for the shift of mean outputs that weight rounding causes",
        without_data=True,
    )

    def __post_init__(self) -> None:
        from intaglio.calibrate.calibrators.calibrator_registry import parse_calibrator

        ignored = (self.ignored,) if isinstance(self.ignored, str) else tuple(self.ignored or ())
        object.__setattr__(self, "layers", with_ignored(self.layers, ignored))
        object.__setattr__(self, "ignored", ignored)
        for calibrator in (self.calibrator, self.weight_calibrator):
            if calibrator is not None and calibrator != AUTO:
                parse_calibrator(calibrator)
        if self.rounding not in ROUNDINGS:
            raise UsageError(f"rounding: expected one of {', '.join(ROUNDINGS)}, got {self.rounding!r}")
        if self.iterations is not None:
            check_whole("iterations", self.iterations, 1)

    @property
    def recovers(self) -> bool:
        """Whether any algorithm beyond calibration is asked for."""
        return self.rounding != NEAREST or any(getattr(self, name) for name in recovery_rows())

    def without_recovery(self) -> Recipe:
        """Make the recipe of plain rounding to the nearest code in calibrated ranges."""
        off: dict[str, Any] = dict.fromkeys(recovery_rows(), False)
        return replace(self, rounding=NEAREST, **off)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data: what a file says of the settings that its results depend on.

        Raises:
            UsageError: a Calibrator of one's own that no file can describe (see `describe_calibrator`).
        """
        from intaglio.calibrate.calibrators.calibrator_registry import describe_calibrator

        found = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("calibrator", "weight_calibrator"):
            found[name] = describe_calibrator(found[name])
        return {**found, "layers": dict(self.layers), "ignored": list(self.ignored)}


def recovery_rows() -> dict[str, RecoveryRow]:
    """The recovery algorithms that a recipe switches, by field, in the order in which they run."""
    return {one.name: one.metadata["row"] for one in fields(Recipe) if "row" in one.metadata}
