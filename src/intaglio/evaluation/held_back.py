"""Divide samples into those to learn from and those held back, in batches as a network takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.samples import is_held_back, nth_sample
from intaglio.simulate import Simulator
from intaglio.simulate.tensor_batches import Batches, feeds, rows


class Samples(Protocol):
    """Inputs of the network that can be read several times."""

    def feeds(self, simulator: Simulator) -> Iterator[Mapping[str, Tensor]]:
        """Yield small batches by input name; one sample at a time where the Graph is not batched."""


class ArraySamples:
    """Samples held in memory.

    Args:
        arrays: one for each input of the network, N samples each (see `intaglio.samples`).
        batch: samples at a time.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], batch: int = 8) -> None:
        self.arrays, self.batch = tuple(arrays), batch

    def __len__(self) -> int:
        return len(self.arrays[0])

    def feeds(self, simulator: Simulator) -> Iterator[Mapping[str, Tensor]]:
        """See `Samples.feeds`."""
        named = dict(zip(simulator.input_names, self.arrays, strict=True))
        for start in range(0, len(self), self.batch if simulator.batched else 1):
            some = {
                name: x[start : start + self.batch]
                if simulator.batched
                else nth_sample(x, start, simulator.input_shapes[name])
                for name, x in named.items()
            }
            yield {name: torch.as_tensor(x, dtype=torch.float32, device=simulator.device) for name, x in some.items()}

    def split(self) -> tuple[ArraySamples, ArraySamples]:
        """Split into samples to learn from and every fourth one, held back; of fewer than four all are both."""
        held = is_held_back(np.arange(len(self)))
        if not held.any():
            return self, self
        parts = ([a[which] for a in self.arrays] for which in (~held, held))
        learned, kept = (ArraySamples(arrays, self.batch) for arrays in parts)
        return learned, kept


class DatasetSamples:
    """Samples of a data set that is read anew each time: those to learn from, or with `held` every fourth one."""

    def __init__(self, dataset: Batches, held: bool) -> None:
        self.dataset, self.held = dataset, held

    def feeds(self, simulator: Simulator) -> Iterator[Mapping[str, Tensor]]:
        """See `Samples.feeds`."""
        number = 0
        for size, feed in feeds(self.dataset, simulator, 8):
            which = np.flatnonzero(is_held_back(np.arange(number, number + size)) == self.held)
            number += size
            if len(which) == size:
                yield feed
            elif len(which):
                yield rows(feed, which, size)
