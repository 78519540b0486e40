"""Warn of values with a fixed range that the calibration data exceed."""

from __future__ import annotations

from intaglio.calibrate.parameters.adjust import note, params_of
from intaglio.calibrate.statistics.statistics import Statistics
from intaglio.plan import Plan, Step


def note_saturation(plan: Plan, statistics: Statistics) -> None:
    """Note in the `why` of each fixed value what calibration saw beyond its range.

    Up to one step beyond the range counts as inside: a sigmoid that reaches 1 is the largest code, 255/256.
    """
    for value in plan.fixed():
        record = statistics.records.get(value.name)
        if record is None or not record.count:
            continue  # statistics from an earlier version, which did not observe fixed values
        params = params_of(value)
        low, high, step = *(float(bound) for bound in params.range), float(params.scale)
        if record.low < low - step or record.high > high + step:
            note(
                value,
                f"{_SEEN} {record.low:.6g} to {record.high:.6g}, and what is beyond [{low:g}, {high:g}] saturates",
            )


def saturation_steps(plan: Plan, algorithm: str) -> list[Step]:
    """List a warning for the history for each value that `note_saturation` found.

    Args:
        plan: calibrated.
        algorithm: the name that the history gives.
    """
    return [
        Step(algorithm, f"warning: value {value.name!r}: {value.why}") for value in plan.fixed() if _SEEN in value.why
    ]


_SEEN = "calibration saw"
