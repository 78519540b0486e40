"""Max: the extremes themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate.calibrators.calibrator import Bounds
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.plan import Format


@dataclass(frozen=True)
class Max:
    """Takes the extremes as the range: nothing is clipped."""

    needs: ClassVar[Needs] = Needs.EXTREMES
    name: ClassVar[str] = "max"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return record.low, record.high

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        return blocks.min(axis=-1).astype(np.float64), blocks.max(axis=-1).astype(np.float64)
