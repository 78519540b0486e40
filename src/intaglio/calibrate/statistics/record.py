"""What calibration keeps of one value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from torch import Tensor

from intaglio.calibrate.statistics.histogram import Histogram, in_memory_order
from intaglio.calibrate.statistics.moving_extremes import MovingExtremes
from intaglio.errors import CalibrationError


class Needs(IntFlag):
    """What calibrators want to know of a value besides its extremes, which are always kept."""

    EXTREMES = 0
    HISTOGRAM = 1
    MOVING = 2


@dataclass
class Record:
    """What is known of one value.

    Args:
        low, high: exact extremes.
        count: elements seen.
        histogram: where it was asked for.
        moving: extremes per sample, where they were asked for.
    """

    low: float = float("inf")
    high: float = float("-inf")
    count: int = 0
    histogram: Histogram | None = None
    moving: MovingExtremes | None = None

    @classmethod
    def empty(cls, needs: Needs) -> Record:
        """A record that collects what is needed."""
        return cls(
            histogram=Histogram() if needs & Needs.HISTOGRAM else None,
            moving=MovingExtremes() if needs & Needs.MOVING else None,
        )

    @property
    def needs(self) -> Needs:
        """What it collects."""
        histogram = Needs.EXTREMES if self.histogram is None else Needs.HISTOGRAM
        return histogram | (Needs.EXTREMES if self.moving is None else Needs.MOVING)

    def add(self, x: Tensor, first: int, samples: int) -> None:
        """Take note of a tensor.

        Args:
            x: float32, (samples, ...) where there are several samples.
            first: number of its first sample.
            samples: how many it holds.
        Raises:
            CalibrationError: NaN or infinity.
        """
        if not x.numel():
            return
        if self.moving is None:  # both in one pass
            low, high = (float(v) for v in x.aminmax())
        else:
            ordered = in_memory_order(x)
            outermost = samples == 1 or x.stride(0) == max(x.stride())
            rows = (ordered if outermost else x).reshape(samples, -1)
            lows, highs = rows.amin(1).cpu().numpy(), rows.amax(1).cpu().numpy()
            low, high = float(lows.min()), float(highs.max())
        if not (np.isfinite(low) and np.isfinite(high)):  # minimum and maximum carry a NaN on
            bad = x.isfinite().logical_not()
            where = first + int(bad.reshape(samples, -1).any(dim=1).nonzero()[0])
            raise CalibrationError(f"sample {where}: expected finite values, got {int(bad.sum())} NaN or infinite ones")
        if self.moving is not None:
            self.moving.add(first, lows, highs)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += x.numel()
        if self.histogram is not None:
            self.histogram.add(x, max(-low, high))

    def merge(self, other: Record) -> Record:
        """What is known of both data sets together."""
        return Record(
            min(self.low, other.low),
            max(self.high, other.high),
            self.count + other.count,
            self.histogram.merge(other.histogram) if self.histogram and other.histogram else None,
            self.moving.merge(other.moving) if self.moving and other.moving else None,
        )
