"""Random access to training samples: cached in memory up to a limit, and read in shuffled epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from intaglio.data import Dataset
from intaglio.errors import DataError, check_whole
from intaglio.evaluation.metric import joined
from intaglio.progress import progress
from intaglio.train.loop.lr_schedule import ORDER, seed_of
from intaglio.train.loop.user_loss import target_tensors

CACHE_BYTES = 2 << 30
"""Default cache of decoded samples; 50,000 CIFAR images take 0.6 GiB. Samples that do not fit are read again."""
_READ = 256

HELD_BACK, HELD_BACK_PART = 2000, 10

Batch = tuple[tuple[Tensor, ...], Any]
"""One float32 tensor (N, ...) for each network input; and int64 labels (N,), targets of any kind for a user's loss, or
None."""


def hold_back(data: Dataset, count: int | None = None) -> tuple[Dataset, Dataset | None]:
    """Split data into training samples and validation samples.

    Args:
        data: the data; read more than once.
        count: validation samples; None: 2,000, at most a tenth; 0: none.
    Returns:
        (training samples, validation samples or None).
    Raises:
        DataError: no training samples would be left.
    """
    if count is not None:
        check_whole("held-back", count)
    data = data if data.length is not None and not data.once else data.cached()
    held = min(HELD_BACK, len(data) // HELD_BACK_PART) if count is None else count
    return (data, None) if held == 0 else data.hold_back(held)


class TrainingSamples(TorchDataset[Batch]):
    """Map-style data set: from a list of sample numbers to a batch.

    Args:
        data: data matched to the network (see `intaglio.data.match`); read more than once.
        classes: number of classes, against which labels are checked; None: labels are ignored, unless `targets`.
        cache: bytes of decoded samples kept in memory.
        need_labels: whether every sample needs a label.
        targets: whether labels are targets of any kind, for a user's loss.
    Raises:
        DataError: labels are missing or out of range, or samples do not fit.
    """

    def __init__(
        self,
        data: Dataset,
        classes: int | None,
        *,
        cache: int = CACHE_BYTES,
        need_labels: bool = True,
        targets: bool = False,
    ) -> None:
        self.data = replace(data, targets="given") if targets else replace(data, classes=classes)
        self.targets = targets
        self.labels, self._held, self._length = self._read(cache, need_labels)

    def __len__(self) -> int:
        return self._length

    @property
    def held(self) -> int:
        """Number of samples in memory (the first ones)."""
        return len(self._held[0])

    def __getitem__(self, numbers: Sequence[int]) -> Batch:
        """Return the samples with these numbers, in this order."""
        index = torch.as_tensor(numbers)
        labels = self._labels_of(index)
        if self.held == len(self) or bool((index < self.held).all()):
            return tuple(x[index] for x in self._held), labels
        rows = [tuple(x[i] for x in self._held) if i < self.held else self._again(i) for i in index.tolist()]
        return tuple(torch.stack(parts) for parts in zip(*rows, strict=True)), labels

    def _labels_of(self, index: Tensor) -> Any:
        if self.labels is None or isinstance(self.labels, Tensor):
            return None if self.labels is None else self.labels[index]
        return [self.labels[i] for i in index.tolist()]

    def batches(self, size: int, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Yield all samples in order; with several processes, this process's part.

        Args:
            size: samples per batch.
            share: (rank, world).
        """
        rank, world = share
        mine = range(rank, len(self), world)
        for at in range(0, len(mine), size):
            yield self[mine[at : at + size]]

    def _read(self, cache: int, need_labels: bool) -> tuple[Tensor | list[Any] | None, tuple[Tensor, ...], int]:
        """Read all labels, as many samples as fit in the cache, and the number of samples."""
        labels: list[np.ndarray] = []
        count = 0
        held: list[Tensor] = []
        kept = 0
        total = None if self.data.length is None else -(-self.data.length // _READ)
        for x, y in progress(self.data.batches(_READ), total, "read samples"):
            if y is None and need_labels:
                raise DataError(
                    f"{self.data.name}: training needs labels, got none. Give pairs (x, y), or an array 'y'."
                )
            if y is not None and (self.targets or self.data.classes is not None):
                labels.append(y)
            arrays = tuple(x.values()) if isinstance(x, dict) else x if isinstance(x, tuple) else (x,)
            if not held:
                known = self.data.length
                each = sum(a[0].nbytes for a in arrays)
                room = max(cache // max(each, 1), 1)
                most = room if known is None else min(room, known)
                held = [
                    torch.empty((most, *a.shape[1:])) for a in arrays
                ]  # memory is committed only when it is written
            count += len(arrays[0])
            take = min(len(arrays[0]), len(held[0]) - kept)
            for whole, array in zip(held, arrays, strict=True):
                whole[kept : kept + take] = torch.from_numpy(array[:take])
            kept += take
        known_labels: Tensor | list[Any] | None = None
        if labels:
            whole = joined(labels)
            known_labels = target_tensors(whole if self.targets else np.asarray(whole, np.int64))
        if known_labels is not None and len(known_labels) < count:
            known_labels = None
        return known_labels, tuple(x[:kept] for x in held), count

    def _again(self, number: int) -> tuple[Tensor, ...]:
        x, _ = next(self.data.part(number, number + 1).batches(1))
        arrays = tuple(x.values()) if isinstance(x, dict) else x if isinstance(x, tuple) else (x,)
        return tuple(torch.from_numpy(a[0]) for a in arrays)


class ShuffledOrder(Sampler[list[int]]):
    """Sample numbers of each step, shuffled again in each epoch; only whole batches.

    Args:
        samples: number of samples.
        batch: batch size, summed over all processes.
        seed: seed of the shuffling.
        first, stop: steps `first` to `stop - 1`.
        rank, world: this process and number of processes; each takes its part of every batch.
    """

    def __init__(
        self, samples: int, batch: int, seed: int, first: int, stop: int, *, rank: int = 0, world: int = 1
    ) -> None:
        self.samples, self.batch, self.seed, self.first, self.stop = samples, batch, seed, first, stop
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = self.samples // self.batch
        part = self.batch // self.world
        known, order = -1, torch.empty(0, dtype=torch.int64)
        for step in range(self.first, self.stop):
            epoch, at = divmod(step, per_epoch)
            if epoch != known:
                generator = torch.Generator().manual_seed(seed_of(self.seed, ORDER, epoch))
                known, order = epoch, torch.randperm(self.samples, generator=generator)
            begin = at * self.batch + self.rank * part
            yield order[begin : begin + part].tolist()

    def __len__(self) -> int:
        return self.stop - self.first
