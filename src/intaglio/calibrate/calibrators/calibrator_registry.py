"""Look up a calibrator by its name, the same for activations and weights."""

from __future__ import annotations

import difflib
import re
from dataclasses import fields, is_dataclass
from typing import Any

from intaglio.calibrate.calibrators.calibrator import Calibrator
from intaglio.calibrate.calibrators.entropy import Entropy
from intaglio.calibrate.calibrators.max import Max
from intaglio.calibrate.calibrators.moving_average import MovingAverage
from intaglio.calibrate.calibrators.mse import Mse
from intaglio.calibrate.calibrators.percentile import Percentile
from intaglio.calibrate.calibrators.sigma import Sigma
from intaglio.errors import UsageError

_IN_COMMON_USE: tuple[Calibrator, ...] = (
    Max(),
    MovingAverage(),
    *(Percentile(percent) for percent in (99.9, 99.99, 99.999, 99.9999)),
    Entropy(),
    Mse(),
    Sigma(2),
    Sigma(3),
)
CALIBRATORS = {calibrator.name: calibrator for calibrator in _IN_COMMON_USE}
"""The calibrators in common use by name; `parse_calibrator` reads any other percentile and number of sigmas too."""

_NUMBERED = re.compile(r"(percentile|sigma)-(\d+(?:\.\d+)?)")


def parse_calibrator(name: str | Calibrator) -> Calibrator:
    """Read `max`, `moving-average`, `percentile-99.99`, `entropy`, `mse`, `sigma-3`; a Calibrator is returned as it is.

    Raises:
        UsageError: no calibrator has this name, or an object that is no Calibrator.
    """
    if not isinstance(name, str):
        missing = [part for part in ("name", "needs", "range", "ranges") if not hasattr(name, part)]
        if isinstance(name, type) or missing or name.__hash__ is None:
            lacks = f" without {', '.join(missing)}" if missing else ""
            raise UsageError(
                f"calibrator: expected a name, or a frozen object with name, needs, range and ranges, got "
                f"{name!r}{lacks}; see intaglio.calibrate.Calibrator"
            )
        return name
    found = _named(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, CALIBRATORS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"calibrator: expected auto or one of {', '.join(CALIBRATORS)}, got {name!r}{hint}")


def _named(name: str) -> Calibrator | None:
    """Find the calibrator of a name; None where there is none."""
    if name in CALIBRATORS:
        return CALIBRATORS[name]
    match = _NUMBERED.fullmatch(name)
    if match and match[1] == "percentile" and 50 < float(match[2]) <= 100:
        return Percentile(float(match[2]))
    return Sigma(float(match[2])) if match and match[1] == "sigma" and float(match[2]) > 0 else None


def describe_calibrator(calibrator: str | Calibrator | None) -> Any:
    """Describe a calibrator as plain data, so that a file tells the one that it was made with from every other.

    Returns:
        The name of one that `parse_calibrator` reads; of another, its class, its name and its fields.
    Raises:
        UsageError: it is no frozen dataclass whose fields are numbers, texts, truth values or None.
    """
    if calibrator is None or isinstance(calibrator, str):
        return calibrator
    if _named(calibrator.name) == calibrator:
        return calibrator.name
    cls = type(calibrator)
    frozen = is_dataclass(calibrator) and cls.__dataclass_params__.frozen
    values = {one.name: getattr(calibrator, one.name) for one in fields(calibrator)} if frozen else {}  # type: ignore[arg-type]
    if not frozen or not all(isinstance(value, (bool, int, float, str, type(None))) for value in values.values()):
        raise UsageError(
            f"calibrator {calibrator.name}: expected a frozen dataclass of numbers and texts, as a file describes "
            f"it, got {calibrator!r}; make it one, or search without a work folder"
        )
    return {"class": f"{cls.__module__}.{cls.__qualname__}", "name": calibrator.name, **values}
