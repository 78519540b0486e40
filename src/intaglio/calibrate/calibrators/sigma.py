"""Sigma: a number of standard deviations around the mean."""

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
class Sigma:
    """Takes `mean - n * std` to `mean + n * std`, but not beyond the extremes."""

    n: float = 3
    needs: ClassVar[Needs] = Needs.HISTOGRAM

    @property
    def name(self) -> str:
        """`sigma-3`."""
        return f"sigma-{self.n:.10g}"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        assert record.histogram is not None
        mean, std = record.histogram.moments()
        low, high = np.clip([mean - self.n * std, mean + self.n * std], record.low, record.high)
        return float(low), float(high)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        mean, std = blocks.mean(axis=-1, dtype=np.float64), blocks.std(axis=-1, dtype=np.float64)
        low, high = Max().ranges(blocks, fmt)
        return np.clip(mean - self.n * std, low, high), np.clip(mean + self.n * std, low, high)
