"""Moving average: the averaged extremes of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate.calibrators.calibrator import Bounds
from intaglio.calibrate.calibrators.max import Max
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.plan import Format


@dataclass(frozen=True)
class MovingAverage:
    """Takes the exponential moving average of each sample's extremes (see `moving_extremes`); for constants as max.

    It does not depend on the batch size, and on the order only where there are more samples than it remembers, about a
    hundred. PyTorch's MovingAverageMinMaxObserver begins with the first sample instead; both meet after some hundreds.
    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.1.
    """

    needs: ClassVar[Needs] = Needs.MOVING
    name: ClassVar[str] = "moving-average"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        assert record.moving is not None
        low, high = record.moving.range
        # An average lies within the extremes but for float64's last digit, which a value that never changes would show.
        return min(max(low, record.low), record.high), min(max(high, record.low), record.high)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        return Max().ranges(blocks, fmt)
