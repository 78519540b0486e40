"""Collect the statistics of one value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from torch import Tensor

from intaglio.calibrate.statistics.histogram import Histogram, in_memory_order
from intaglio.calibrate.statistics.moving_extremes import MovingExtremes
from intaglio.errors import CalibrationError


class Needs(IntFlag):
    """The statistics that a calibrator needs besides the extremes, which are always kept."""

    EXTREMES = 0
    HISTOGRAM = 1
    MOVING = 2


@dataclass
class Record:
    """The statistics of one value.

    Args:
        low, high: exact extremes.
        count: number of elements seen.
        histogram: None where it was not asked for.
        moving: moving average of the extremes per sample; None where it was not asked for.
    """

    low: float = float("inf")
    high: float = float("-inf")
    count: int = 0
    histogram: Histogram | None = None
    moving: MovingExtremes | None = None

    @classmethod
    def empty(cls, needs: Needs) -> Record:
        """Make an empty record that collects what `needs` names."""
        return cls(
            histogram=Histogram() if needs & Needs.HISTOGRAM else None,
            moving=MovingExtremes() if needs & Needs.MOVING else None,
        )

    @property
    def needs(self) -> Needs:
        """The statistics that it collects."""
        histogram = Needs.EXTREMES if self.histogram is None else Needs.HISTOGRAM
        return histogram | (Needs.EXTREMES if self.moving is None else Needs.MOVING)

    def add(self, x: Tensor, first: int, samples: int) -> None:
        """Add the elements of a tensor.

        Args:
            x: float32, (samples, ...) where there are several samples.
            first: number of its first sample.
            samples: number of samples in it.
        Raises:
            CalibrationError: NaN or infinity.
        """
        if not x.numel():
            return
        if self.moving is None:  # one pass for both
            low, high = (float(v) for v in x.aminmax())
        else:
            ordered = in_memory_order(x)
            outermost = samples == 1 or x.stride(0) == max(x.stride())
            rows = (ordered if outermost else x).reshape(samples, -1)
            lows, highs = rows.amin(1).cpu().numpy(), rows.amax(1).cpu().numpy()
            low, high = float(lows.min()), float(highs.max())
        if not (np.isfinite(low) and np.isfinite(high)):  # minimum and maximum propagate NaN
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
        """Return the statistics of both data sets together."""
        return Record(
            min(self.low, other.low),
            max(self.high, other.high),
            self.count + other.count,
            self.histogram.merge(other.histogram) if self.histogram and other.histogram else None,
            self.moving.merge(other.moving) if self.moving and other.moving else None,
        )
