"""Statistics of all values of a Graph: merge those of several processes, write and read them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from intaglio.calibrate.statistics.histogram import SIDE, Histogram
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.errors import CalibrationError
from intaglio.files import CheckpointKind
from intaglio.files.encodings import Arrays, Contents

STATISTICS = CheckpointKind(
    "the statistics of a calibration", "intaglio-statistics", 3, Arrays(), error=CalibrationError
)


@dataclass
class Statistics:
    """The statistics of every value of a Graph that needs a range.

    Args:
        graph: fingerprint of the Graph that was run.
        records: by value name.
        parts: the samples seen, as sorted runs (start, stop); stop is not included.
    """

    graph: str
    records: dict[str, Record] = field(default_factory=dict)
    parts: tuple[tuple[int, int], ...] = ()

    @property
    def samples(self) -> int:
        """The number of samples seen."""
        return sum(stop - start for start, stop in self.parts)

    def empty_copy(self) -> Statistics:
        """Make statistics of the same values without any samples."""
        return Statistics(self.graph, {name: Record.empty(record.needs) for name, record in self.records.items()})

    def merge(self, other: Statistics) -> Statistics:
        """Return the statistics of both parts of the data together; the order does not matter.

        Raises:
            CalibrationError: the other is of another Graph or of other values, or a sample is in both.
        """
        if self.graph != other.graph:
            raise CalibrationError("statistics: expected parts of the same Graph, got two; observe both parts anew")
        kinds = [{name: record.needs for name, record in s.records.items()} for s in (self, other)]
        if kinds[0] != kinds[1]:
            raise CalibrationError(
                "statistics: expected both parts to hold the same kinds of numbers of the same values, got different "
                "ones; observe both with the same Plan and needs"
            )
        parts = joined_parts((*self.parts, *other.parts))
        return Statistics(self.graph, {n: r.merge(other.records[n]) for n, r in self.records.items()}, parts)

    def state(self) -> Contents:
        """Convert to plain data and arrays, for a file or for other processes; `from_state` reads them back."""
        records = list(self.records.values())
        histograms = [r.histogram for r in records if r.histogram is not None]
        runs = [(i, start, length, *gain) for i, r in enumerate(records) if r.moving
                for (start, length), gain in r.moving.runs.items()]  # fmt: skip
        return {
            "graph": self.graph,
            "parts": self.parts,
            "names": list(self.records),
            "needs": [int(r.needs) for r in records],
            "exponents": [r.histogram.exponent if r.histogram else None for r in records],
            "low": np.array([r.low for r in records]),
            "high": np.array([r.high for r in records]),
            "count": np.array([r.count for r in records], np.int64),
            "histograms": np.array([h.counts for h in histograms], np.int64).reshape(-1, 2 * SIDE - 1),
            "runs": np.array([run[:3] for run in runs], np.int64).reshape(-1, 3),
            "gains": np.array([run[3:] for run in runs], np.float64).reshape(-1, 2),
        }

    @classmethod
    def from_state(cls, state: Contents) -> Statistics:
        """Read what `state` gave."""
        histograms = iter(state["histograms"])
        records = []
        for i, (needs, exponent) in enumerate(zip(state["needs"], state["exponents"], strict=True)):
            record = Record.empty(Needs(needs))
            record.low, record.high = float(state["low"][i]), float(state["high"][i])
            record.count = int(state["count"][i])
            if record.histogram is not None:
                record.histogram = Histogram(exponent, next(histograms).astype(np.int64).reshape(2 * SIDE - 1))
            records.append(record)
        for (i, start, length), (low, high) in zip(state["runs"].tolist(), state["gains"].tolist(), strict=True):
            records[i].moving.runs[start, length] = (low, high)
        parts = joined_parts((int(a), int(b)) for a, b in state["parts"])
        return cls(str(state["graph"]), dict(zip(state["names"], records, strict=True)), parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .npz file; it appears whole or not at all.

        Raises:
            CalibrationError: it cannot be written.
        """
        STATISTICS.write(path, {"network": self.graph}, self.state())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Statistics:
        """Read what `save` or a checkpoint of `observe` wrote; no code from the file runs.

        Raises:
            CalibrationError: the file does not exist, or `save` did not write it.
        """
        return STATISTICS.read(path, cls.from_state)[1]


def joined_parts(parts: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sort runs of samples (start, stop) and join neighbouring ones.

    Raises:
        CalibrationError: a sample is in two runs.
    """
    result: list[tuple[int, int]] = []
    for start, stop in sorted(parts):
        if result and start < result[-1][1]:
            raise CalibrationError(
                f"statistics: sample {start} is in two parts; tell `observe` the number of each part's first sample"
            )
        if result and start == result[-1][1]:
            result[-1] = (result[-1][0], stop)
        else:
            result.append((start, stop))
    return tuple(result)
