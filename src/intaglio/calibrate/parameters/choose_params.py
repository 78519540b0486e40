"""Turn statistics and weights into the parameters of a Plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate.calibrators.calibrator import Calibrator
from intaglio.calibrate.calibrators.calibrator_registry import parse_calibrator
from intaglio.calibrate.parameters.adjust import note
from intaglio.calibrate.parameters.derive import derive
from intaglio.calibrate.parameters.saturation import note_saturation
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.calibrate.statistics.statistics import Statistics
from intaglio.errors import CalibrationError, UsageError
from intaglio.graph import Graph, constant, graph_fingerprint
from intaglio.number import QuantParams, choose_params
from intaglio.ops import Role
from intaglio.plan import Format, Plan

Named = str | Calibrator | None


def choose(
    graph: Graph,
    plan: Plan,
    statistics: Statistics,
    calibrator: Named = None,
    weight_calibrator: Named = None,
) -> Plan:
    """Copy a Plan and set every parameter in the copy.

    Args:
        graph: in normal form.
        plan: says which values need parameters, and their formats.
        statistics: of this Graph's values (see `observe`).
        calibrator: of activations, instead of the Plan's own.
        weight_calibrator: of weights, instead of the Plan's own.
    Raises:
        CalibrationError: statistics of another Graph, without what the calibrator needs, or without samples; a weight
            that is not finite; a scale that float32 cannot hold.
        UsageError: no such calibrator.
    """
    if statistics.graph != graph_fingerprint(graph):
        raise CalibrationError("statistics: expected those of this Graph, got another one's; observe this Graph")
    constants = constant_params(graph, plan, weight_calibrator)
    return assign(graph, plan, statistics, calibrator, weight_calibrator, constants)


def assign(
    graph: Graph,
    plan: Plan,
    statistics: Statistics,
    calibrator: Named,
    weight_calibrator: Named,
    constants: Mapping[str, QuantParams],
) -> Plan:
    """Do what `choose` does, with statistics known to be of this Graph and parameters of constants chosen before.

    Args:
        graph, plan, statistics, calibrator: see `choose`.
        weight_calibrator, constants: what `constant_params` was given, and what it returned.
    """
    result = plan.copy()
    silent = []
    for value in result.calibrated():
        chosen = parse_calibrator(calibrator or value.calibrator or "max")
        record = statistics.records.get(value.name)
        if record is None or not record.count:
            raise CalibrationError(f"value {value.name!r}: expected statistics of it, got none; observe with this Plan")
        assert value.format is not None
        value.params = _activation_params(value.name, record, chosen, value.format)
        value.calibrator = chosen.name
        if record.low == record.high:
            note(value, f"it was always {record.low:g} in calibration")
            silent += [value.name] * (record.low == 0)
    note_saturation(result, statistics)
    for role in (Role.WEIGHT, Role.SIDE):
        for value in result.calibrated(role):
            value.params = constants[value.name]
            if role is Role.WEIGHT:
                value.calibrator = parse_calibrator(weight_calibrator or value.calibrator or "max").name
    derive(graph, result, frozenset(silent))
    return result


def _activation_params(name: str, record: Record, calibrator: Calibrator, fmt: Format) -> QuantParams:
    lacking = calibrator.needs & ~record.needs
    if lacking:
        what = "a histogram" if lacking & Needs.HISTOGRAM else "moving extremes"
        raise CalibrationError(
            f"value {name!r}: {calibrator.name} needs {what}, which was not observed; observe with the default needs"
        )
    try:
        return choose_params(*calibrator.range(record, fmt), fmt.type, fmt.scheme, fmt.granularity)
    except UsageError as error:
        raise CalibrationError(f"value {name!r}: {error}") from None


def constant_params(graph: Graph, plan: Plan, weight_calibrator: Named = None) -> dict[str, QuantParams]:
    """Choose the parameters of weights and of constant operands.

    Returns:
        By value name.
    Raises:
        CalibrationError: a constant holds NaN or infinity.
    """
    values = graph.values()
    result = {}
    for role in (Role.WEIGHT, Role.SIDE):
        for value in plan.calibrated(role):
            found = constant(values[value.name])
            assert found is not None and value.format is not None, value.name
            named = weight_calibrator if role is Role.WEIGHT else None
            chosen = parse_calibrator(named or value.calibrator or "max")
            result[value.name] = _constant_params(value.name, np.asarray(found, np.float32), chosen, value.format)
    return result


def _constant_params(name: str, x: NDArray[np.float32], calibrator: Calibrator, fmt: Format) -> QuantParams:
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise CalibrationError(
            f"constant {name!r}: expected finite values, got {bad} of {x.size} NaN or infinite; repair the model"
        )
    blocks = fmt.granularity.blocks(x)
    try:
        if not blocks.size:
            low = high = np.zeros(blocks.shape[:-1])
        else:
            low, high = calibrator.ranges(blocks, fmt)  # inside the try, as some calibrators choose parameters
        return choose_params(low, high, fmt.type, fmt.scheme, fmt.granularity)
    except UsageError as error:
        raise CalibrationError(f"constant {name!r}: {error}") from None
