"""Calibrate without data: predict statistics, choose calibrators, set every parameter of the Plan."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.calibrate.calibration import Calibration
from intaglio.calibrate.calibrators.calibrator import Calibrator
from intaglio.calibrate.data_free.expected_statistics import expected_statistics
from intaglio.calibrate.data_free.input_moments import InputRange
from intaglio.calibrate.data_free.prediction import Prediction, predict
from intaglio.calibrate.parameters.choose_params import choose
from intaglio.graph import Graph
from intaglio.ops import Role
from intaglio.plan import Plan, Step
from intaglio.targets.target import AUTO

DEFAULT = "max"
"""The calibrator that stands for `auto`, which needs data to compare on."""

NONE, SYNTHESIZE = "none", "synthesize"
"""Values of `data` without a data set: calibrate without data; synthesize inputs from the network."""


@dataclass(frozen=True)
class NoData:
    """Stands for calibration data: ranges are predicted from the network itself (see `ptq.data_free`).

    Args:
        input_range: (low, high) of the inputs after preprocessing, or by input name; None: from the first batch norms.
    """

    input_range: InputRange = None


def calibrate_without_data(
    graph: Graph,
    plan: Plan,
    *,
    input_range: InputRange = None,
    calibrator: str | Calibrator | None = None,
    weight_calibrator: str | Calibrator | None = None,
    prediction: Prediction | None = None,
) -> Calibration:
    """Find the parameters of every value of a Plan without data.

    Args:
        graph: in normal form, loaded by `intaglio.load`.
        plan: from `place`; it is left as it is.
        input_range: (low, high) of the inputs after preprocessing, or by input name; None: estimated from the first
            batch norms.
        calibrator: of activations: a name that `parse_calibrator` reads; None for the Plan's own. `auto` has no data
            to compare on and means `DEFAULT`.
        weight_calibrator: the same for weights.
        prediction: what `predict` gave for this Graph, so that it is not computed again.
    Raises:
        CalibrationError: neither batch norm nor a range, or a range that is not two ascending finite numbers.
        UsageError: no such calibrator.
    """
    prediction = prediction or predict(graph, input_range)
    named = _named(plan, Role.ACTIVATION, calibrator)
    weights = _named(plan, Role.WEIGHT, weight_calibrator)
    statistics = expected_statistics(graph, plan, prediction)
    made = choose(graph, plan, statistics, named, weights)
    names = " and ".join(sorted({v.calibrator or "" for v in made.calibrated()})) or "nothing"
    by = " and ".join(sorted({v.calibrator or "" for v in made.calibrated(Role.WEIGHT)})) or "nothing"
    text = f"calibrated without data ({prediction.text}): activations by {names}, weights by {by}"
    return Calibration(made, statistics, [Step("calibration", text)])


def _named(plan: Plan, role: Role, calibrator: str | Calibrator | None) -> str | Calibrator | None:
    if calibrator == AUTO:
        return DEFAULT
    if calibrator is None and any(v.calibrator == AUTO for v in plan.calibrated(role)):
        return DEFAULT
    return calibrator
