"""Look up a calibrator by its name, the same for activations and weights."""

from __future__ import annotations

import difflib
import re

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
        UsageError: no calibrator has this name.
    """
    if not isinstance(name, str):
        return name
    if name in CALIBRATORS:
        return CALIBRATORS[name]
    match = _NUMBERED.fullmatch(name)
    if match and match[1] == "percentile" and 50 < float(match[2]) <= 100:
        return Percentile(float(match[2]))
    if match and match[1] == "sigma" and float(match[2]) > 0:
        return Sigma(float(match[2]))
    near = difflib.get_close_matches(name, CALIBRATORS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"calibrator: expected auto or one of {', '.join(CALIBRATORS)}, got {name!r}{hint}")
