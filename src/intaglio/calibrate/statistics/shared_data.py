"""Calibration data that several processes share: each observes its part, and all of them have the whole statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from intaglio.processes import Processes
from intaglio.simulate.tensor_batches import Batches


@dataclass(frozen=True)
class SharedData:
    """A data set, and who reads which part of it.

    Whatever reads `batches` reads all of it, on every process; `observe` and `auto` read parts. Every process has to
    call the same functions with it, in the same order.

    Args:
        whole: the data set.
        length: number of its samples.
        some: gives those from a first one up to another.
        processes: that share it.
    """

    whole: Batches
    length: int
    some: Callable[[int, int], Batches]
    processes: Processes

    def batches(self, n: int) -> Iterator[tuple[Any, Any]]:
        """See `Batches`."""
        return iter(self.whole.batches(n))

    def part(self, batch_size: int) -> tuple[Batches, int] | None:
        """This process's part, and the number of its first sample; None where there are too few samples to share."""
        mine = self.processes.part(self.length, batch_size)
        return None if mine is None else (self.some(mine.start, mine.stop), mine.start)
