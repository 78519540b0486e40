"""What every calibrator has: a name, the statistics that it needs, and how it finds a range."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.plan import Format

Bounds = NDArray[np.float64]
"""Lower or upper ends of ranges, one for each scale or candidate."""


class Calibrator(Protocol):
    """How a range is found."""

    needs: ClassVar[Needs]

    @property
    def name(self) -> str:
        """What `parse_calibrator` reads."""

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        """The range of an activation.

        Args:
            record: its statistics, with what `needs` says.
            fmt: the number format that the range is for.
        """

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        """The ranges of a constant's blocks.

        Args:
            blocks: `granularity.blocks(constant)`, (..., K).
            fmt: the number format that the ranges are for.
        Returns:
            low, high: (...), float64.
        """
