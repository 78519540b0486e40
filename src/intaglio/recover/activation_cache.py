"""Values between two blocks, for all samples: what lets a network be worked on block by block in one pass.

They lie in memory up to a number of bytes, and beyond it in a temporary file without a name.
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
"""Of one cache, in memory."""

Values = dict[str, Tensor]


class Rows:
    """One float32 array per sample, (count, *size).

    Args:
        count: of samples.
        size: shape of each.
        in_memory: else in a file.
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
        """Samples from `start` on; x: (N, *size)."""
        if self.memory is not None:
            self.memory[start : start + len(x)] = x
            return
        assert self.file is not None
        try:
            self.file.seek(4 * self.step * start)
            self.file.write(np.ascontiguousarray(x.cpu().numpy(), np.float32).data.cast("B"))
        except OSError as error:
            raise UsageError(
                f"{tempfile.gettempdir()}: expected room for {4 * self.step * self.count:,} bytes of activations, got: "
                f"{error.strerror}; make room, set TMPDIR, or take fewer samples"
            ) from None

    def read(self, index: Sequence[int]) -> Tensor:
        """Some samples, (N, *size), on the CPU."""
        if self.memory is not None:
            return self.memory[torch.as_tensor(index)]
        assert self.file is not None
        self.file.flush()
        found = np.empty((len(index), self.step), np.float32)
        for row, i in zip(found, index, strict=True):
            os.preadv(self.file.fileno(), [row.data.cast("B")], 4 * self.step * i)
        return torch.from_numpy(found.reshape(len(index), *self.size))


class ActivationCache:
    """The values that live at one place of a network, of all samples.

    Args:
        count: of samples.
        batch: how many run at a time.
        batched: whether samples are rows of the network's values; else each sample is a whole value.
    """

    def __init__(self, count: int, batch: int, *, batched: bool) -> None:
        self.count, self.batch, self.batched = count, batch, batched
        self.rows: dict[str, Rows] = {}
        self._left = KEPT_BYTES

    @classmethod
    def at_inputs(cls, simulator: Simulator, samples: Samples) -> ActivationCache:
        """The network's inputs, rounded where the simulator rounds them."""
        sizes = [simulator.samples_in(feed) for feed in samples.feeds(simulator)]
        found = cls(sum(sizes), max(sizes, default=1), batched=simulator.batched)
        start = 0
        for size, feed in zip(sizes, samples.feeds(simulator), strict=True):
            found.put(start, simulator.rounded_inputs(feed))
            start += size
        return found

    def put(self, start: int, values: Mapping[str, Tensor]) -> None:
        """Keep the values of one batch, whose first sample is `start`."""
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
        """The values of some samples: all at once, or one by one where the network is not batched."""
        found = {name: rows.read(index).to(device) for name, rows in self.rows.items()}
        if self.batched:
            yield found
            return
        for i in range(len(index)):
            yield {name: x[i] for name, x in found.items()}

    def batches(self, device: torch.device) -> Iterator[tuple[int, Values]]:
        """All samples in order, `batch` at a time, each batch with the number of its first sample."""
        step = self.batch if self.batched else 1
        for start in range(0, self.count, step):
            for values in self.take(range(start, min(start + step, self.count)), device):
                yield start, values

    def behind(self, simulator: Simulator, start: int, stop: int, wanted: Collection[str]) -> ActivationCache:
        """Run the nodes from here (`start`) to `stop`, and keep the wanted values."""
        made = ActivationCache(self.count, self.batch, batched=self.batched)
        if not wanted:
            return made
        with torch.no_grad():
            for first, values in self.batches(simulator.device):
                made.put(first, simulator.span(start, stop, values, wanted))
        return made

    def only(self, names: Collection[str]) -> ActivationCache:
        """The same without the other values."""
        made = ActivationCache(self.count, self.batch, batched=self.batched)
        made.rows = {name: rows for name, rows in self.rows.items() if name in names}
        return made
