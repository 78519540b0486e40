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
    """Finds the range of a value: a frozen dataclass with one name, used for activations and weights alike."""

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
