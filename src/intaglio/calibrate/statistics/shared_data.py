"""Share calibration data between processes: each observes a part, and all get the merged statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from intaglio.processes import Processes
from intaglio.simulate.tensor_batches import Batches


@dataclass(frozen=True)
class SharedData:
    """A data set of which each process observes a part.

    `observe` and `auto` read parts; any other reader of `batches` reads the whole, on every process. All processes have
    to call the same functions with it, in the same order.

    Args:
        whole: the data set.
        length: number of its samples.
        some: returns the samples start to stop - 1, given (start, stop).
        processes: those that share it.
    """

    whole: Batches
    length: int
    some: Callable[[int, int], Batches]
    processes: Processes

    def batches(self, n: int) -> Iterator[tuple[Any, Any]]:
        """Yield (x, y) in batches of n samples, of the whole data set."""
        return iter(self.whole.batches(n))

    def part(self, batch_size: int) -> tuple[Batches, int] | None:
        """Return this process's part and the number of its first sample; None where samples are too few to share."""
        mine = self.processes.part(self.length, batch_size)
        return None if mine is None else (self.some(mine.start, mine.stop), mine.start)
