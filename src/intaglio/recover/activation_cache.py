"""Cache of the values between two blocks, for all samples, so that a network is processed block by block in one pass.

Values are kept in memory up to `KEPT_BYTES`, the rest in an unnamed temporary file.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import IO

import numpy as np
import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.evaluation.held_back import Samples
from intaglio.simulate import Simulator

KEPT_BYTES = 256 << 20
"""Most bytes of one cache in memory."""

Values = dict[str, Tensor]


class Rows:
    """One value of all samples: float32, (count, *size).

    Args:
        count: number of samples.
        size: shape of one sample.
        in_memory: keep the array in memory; otherwise in a temporary file.
    """

    def __init__(self, count: int, size: tuple[int, ...], *, in_memory: bool) -> None:
        self.count, self.size = count, size
        self.step = math.prod(size)
        self.memory = torch.empty((count, *size)) if in_memory else None
        self.file: IO[bytes] | None = None if in_memory else tempfile.TemporaryFile(prefix=".intaglio-")  # noqa: SIM115

    def __del__(self) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, start: int, x: Tensor) -> None:
        """Write samples `start` to `start + N - 1`; x: (N, *size)."""
        if self.memory is not None:
            self.memory[start : start + len(x)] = x
            return
        assert self.file is not None
        try:
            self.file.seek(4 * self.step * start)
            self.file.write(np.ascontiguousarray(x.cpu().numpy(), np.float32).data.cast("B"))
        except OSError as error:
            raise UsageError(
                f"{tempfile.gettempdir()}: expected {4 * self.step * self.count:,} free bytes for activations, got: "
                f"{error.strerror}; free some space, set TMPDIR to another disk, or use fewer samples"
            ) from None

    def read(self, index: Sequence[int]) -> Tensor:
        """Read some samples, (N, *size), onto the CPU."""
        if self.memory is not None:
            return self.memory[torch.as_tensor(index)]
        assert self.file is not None
        self.file.flush()
        found = np.empty((len(index), self.step), np.float32)
        for row, i in zip(found, index, strict=True):
            os.preadv(self.file.fileno(), [row.data.cast("B")], 4 * self.step * i)
        return torch.from_numpy(found.reshape(len(index), *self.size))


class ActivationCache:
    """Values that are alive at one place of a network, for all samples.

    Args:
        count: number of samples.
        batch: samples per run of the network.
        batched: whether axis 0 of the network's values is the batch axis; if not, each sample is run alone.
    """

    def __init__(self, count: int, batch: int, *, batched: bool) -> None:
        self.count, self.batch, self.batched = count, batch, batched
        self.rows: dict[str, Rows] = {}
        self._left = KEPT_BYTES

    @classmethod
    def at_inputs(cls, simulator: Simulator, samples: Samples) -> ActivationCache:
        """Cache the network's inputs, rounded as the simulator rounds them."""
        sizes = [simulator.samples_in(feed) for feed in samples.feeds(simulator)]
        found = cls(sum(sizes), max(sizes, default=1), batched=simulator.batched)
        start = 0
        for size, feed in zip(sizes, samples.feeds(simulator), strict=True):
            found.put(start, simulator.rounded_inputs(feed))
            start += size
        return found

    def put(self, start: int, values: Mapping[str, Tensor]) -> None:
        """Store the values of one batch, whose first sample has number `start`."""
        for name, x in values.items():
            x = x if self.batched else x[None]
            if name not in self.rows:
                size = tuple(x.shape[1:])
                nbytes = 4 * self.count * math.prod(size)
                fits = nbytes <= self._left
                self._left -= nbytes * fits
                self.rows[name] = Rows(self.count, size, in_memory=fits)
            self.rows[name].write(start, x)

    def take(self, index: Sequence[int], device: torch.device) -> Iterator[Values]:
        """Yield the values of some samples: all together, or one by one if the network is not batched."""
        found = {name: rows.read(index).to(device) for name, rows in self.rows.items()}
        if self.batched:
            yield found
            return
        for i in range(len(index)):
            yield {name: x[i] for name, x in found.items()}

    def batches(self, device: torch.device) -> Iterator[tuple[int, Values]]:
        """Yield all samples in order, `batch` at a time, each batch with the number of its first sample."""
        step = self.batch if self.batched else 1
        for start in range(0, self.count, step):
            for values in self.take(range(start, min(start + step, self.count)), device):
                yield start, values

    def run_nodes(self, simulator: Simulator, start: int, stop: int, wanted: Collection[str]) -> ActivationCache:
        """Run nodes `start` (this place) to `stop - 1`; return a cache of the wanted values."""
        made = ActivationCache(self.count, self.batch, batched=self.batched)
        if not wanted:
            return made
        with torch.no_grad():
            for first, values in self.batches(simulator.device):
                made.put(first, simulator.span(start, stop, values, wanted))
        return made

    def only(self, names: Collection[str]) -> ActivationCache:
        """Return a cache of only these values; the data are shared."""
        made = ActivationCache(self.count, self.batch, batched=self.batched)
        made.rows = {name: rows for name, rows in self.rows.items() if name in names}
        return made
