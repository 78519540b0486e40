"""The interface of a calibrator: its name, the statistics that it needs, and how it finds ranges."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.plan import Format

Bounds = NDArray[np.float64]
"""Lower or upper ends of ranges, one for each scale or candidate."""


class Calibrator(Protocol):
    """Finds the range of a value: a frozen dataclass with one name, used for activations and weights alike.

    `tests/calibrate/test_calibrators.py` holds every registered calibrator to three rules:

    - The range lies within the data and 0: min(x, 0) <= low <= high <= max(x, 0).
    - If all x are within a few float32 steps of a constant c, the end on the side of c is c: to two bins of the
      histogram for activations, to 1e-5 for weights (`mse`: up to two steps of the grid more).
    - On data without outliers it clips less than a fifth of the elements, with a squared error below 1 % of sum x**2.
    """

    needs: ClassVar[Needs]

    @property
    def name(self) -> str:
        """The name that `parse_calibrator` reads."""

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        """Find the range of an activation.

        Args:
            record: its statistics, with those that `needs` names.
            fmt: the number format that the range is for.
        Returns:
            low, high.
        """

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        """Find the range of each block of a constant.

        Args:
            blocks: `granularity.blocks(constant)`, (..., K), the K elements of a block sharing a scale.
            fmt: the number format that the ranges are for.
        Returns:
            low, high: (...), float64.
        """
