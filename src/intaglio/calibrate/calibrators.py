"""Calibrators: how a range is found. Each is a frozen value with one name, the same for activations and weights."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from intaglio.calibrate.entropy import entropy_range
from intaglio.calibrate.mse import best_range, best_ranges
from intaglio.calibrate.percentile import percentile_range, percentile_ranges
from intaglio.calibrate.record import Needs, Record
from intaglio.errors import UsageError
from intaglio.number import Scheme
from intaglio.plan import Format

Bounds = NDArray[np.float64]


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


@dataclass(frozen=True)
class Max:
    """The extremes themselves: nothing is clipped."""

    needs: ClassVar[Needs] = Needs.EXTREMES
    name: ClassVar[str] = "max"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return record.low, record.high

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        return blocks.min(axis=-1).astype(np.float64), blocks.max(axis=-1).astype(np.float64)


@dataclass(frozen=True)
class MovingAverage:
    """The exponential moving average of each sample's extremes (see `calibrate.moving`); for constants as max.

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


@dataclass(frozen=True)
class Percentile:
    """The range that holds `percent` of the data (see `calibrate.percentile`)."""

    percent: float = 99.99
    needs: ClassVar[Needs] = Needs.HISTOGRAM

    @property
    def name(self) -> str:
        """`percentile-99.99`."""
        return f"percentile-{self.percent:.10g}"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return percentile_range(record, self.percent, symmetric=fmt.scheme is not Scheme.ASYMMETRIC)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        return percentile_ranges(blocks, self.percent, symmetric=fmt.scheme is not Scheme.ASYMMETRIC)


@dataclass(frozen=True)
class Entropy:
    """The range that loses least information (see `calibrate.entropy`)."""

    needs: ClassVar[Needs] = Needs.HISTOGRAM
    name: ClassVar[str] = "entropy"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return entropy_range(record, fmt)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        # A channel has few elements, and a network many channels: fewer bins and candidates, in seconds.
        rows = blocks.reshape(-1, blocks.shape[-1])
        found = np.array([entropy_range(_record_of(row), fmt, side=256, steps=32) for row in rows])
        return found[:, 0].reshape(blocks.shape[:-1]), found[:, 1].reshape(blocks.shape[:-1])


def _record_of(x: NDArray[np.float32]) -> Record:
    record = Record.empty(Needs.HISTOGRAM)
    record.add(torch.as_tensor(np.ascontiguousarray(x)), 0, 1)
    return record


@dataclass(frozen=True)
class Mse:
    """The range with the smallest mean squared quantization error (see `calibrate.mse`)."""

    needs: ClassVar[Needs] = Needs.HISTOGRAM
    name: ClassVar[str] = "mse"

    def range(self, record: Record, fmt: Format) -> tuple[float, float]:
        return best_range(record, fmt)

    def ranges(self, blocks: NDArray[np.float32], fmt: Format) -> tuple[Bounds, Bounds]:
        return best_ranges(blocks, fmt)


@dataclass(frozen=True)
class Sigma:
    """`mean - n * std` to `mean + n * std`, but not beyond the extremes."""

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


PERCENTILES = (99.9, 99.99, 99.999, 99.9999)
_KNOWN: tuple[Calibrator, ...] = (
    Max(),
    MovingAverage(),
    *(Percentile(p) for p in PERCENTILES),
    Entropy(),
    Mse(),
    Sigma(2),
    Sigma(3),
)
CALIBRATORS = {c.name: c for c in _KNOWN}
"""The calibrators that people use, by name; any other percentile and number of sigmas can be parsed too."""

_NUMBERED = re.compile(r"(percentile|sigma)-(\d+(?:\.\d+)?)")


def parse_calibrator(name: str | Calibrator) -> Calibrator:
    """Read `max`, `moving-average`, `percentile-99.99`, `entropy`, `mse`, `sigma-3`.

    Raises:
        UsageError: the name is none of these.
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
