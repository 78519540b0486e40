"""Training batches from a user's own loader, read anew in each epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias, TypeGuard

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from intaglio.data import Dataset
from intaglio.data.chunk import as_array
from intaglio.errors import DataError, UsageError
from intaglio.train.loop.feed import Inputs, placed
from intaglio.train.loop.settings import TrainSettings
from intaglio.train.loop.training_samples import Batch
from intaglio.train.loop.user_loss import placed_targets, target_tensors

Loader: TypeAlias = "Iterable[Any] | Callable[[], Iterable[Any]]"
"""Iterable of batches (inputs, targets), such as a `torch.utils.data.DataLoader`; or a function that returns one."""


def is_loader(data: Any) -> TypeGuard[Loader]:
    """Return whether data are a loader: a DataLoader, another iterable without indices, or a function."""
    if isinstance(data, Dataset | DataLoader):
        return isinstance(data, DataLoader)
    if isinstance(data, str | os.PathLike | Mapping | Tensor) or hasattr(data, "__getitem__"):
        return False
    return callable(data) or isinstance(data, Iterable)


def refuse_iterator(loader: Any) -> None:
    """Refuse a loader that can be read only once.

    Raises:
        UsageError: it is an iterator.
    """
    if isinstance(loader, Iterator):
        raise UsageError(
            f"{getattr(loader, '__name__', type(loader).__name__)}: expected batches that can be read again in each "
            "epoch, got an iterator, which can be read once; give a torch DataLoader, a list of batches, or a function "
            "that returns a new iterator"
        )


class LoaderFeed:
    """Batches of a user's loader, in its order; shuffling and augmentation are the loader's.

    Args:
        loader: see `Loader`; inputs may be a tuple or a dict by name.
        shapes: shapes of one sample of each input of the network, by name.
        settings: memory layout; neither batch size nor augmentation.
        device: device of the network.
        classes: number of classes, against which labels are checked; None: any targets.
        need_labels: whether every batch needs targets.
    Raises:
        UsageError: the loader can be read only once; or settings that are the loader's.
        DataError: it has no batches, or they do not fit.
    """

    def __init__(
        self,
        loader: Loader,
        shapes: Mapping[str, tuple[int, ...]],
        settings: TrainSettings,
        device: torch.device,
        *,
        classes: int | None = None,
        need_labels: bool = True,
    ) -> None:
        self.name = str(getattr(loader, "__name__", type(loader).__name__))
        self.loader, self.shapes, self.settings, self.device = loader, shapes, settings, device
        self.classes, self.need_labels = classes, need_labels
        if settings.augment:
            raise UsageError(
                f"augment: expected none beside a loader, got {', '.join(settings.augment)}; augment in it"
            )
        refuse_iterator(loader)
        self.per_epoch, self.samples = self._count()

    def _items(self) -> Iterator[Any]:
        made = self.loader() if callable(self.loader) and not isinstance(self.loader, Iterable) else self.loader
        if not isinstance(made, Iterable):
            raise UsageError(
                f"{self.name}: expected an iterable of batches, got {type(made).__name__}; put a torch Dataset into a "
                "DataLoader"
            )
        return iter(made)

    def _count(self) -> tuple[int, int]:
        """Count batches and samples of an epoch; a loader that does not know them is read once."""
        dataset, length = getattr(self.loader, "dataset", None), getattr(self.loader, "__len__", None)
        first = next(self._items(), None)
        if first is None:
            raise DataError(f"{self.name}: expected batches, got none")
        size = len(self._converted(first, 0)[0][0])
        if length is not None:
            whole = len(dataset) if dataset is not None and hasattr(dataset, "__len__") else length() * size
            return length(), min(whole, length() * size)
        sizes = [len(self._converted(item, i)[0][0]) for i, item in enumerate(self._items())]
        return len(sizes), sum(sizes)

    def batches(self, first: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of steps `first` to `stop - 1`; the loader's own shuffling is not resumed."""
        step = first
        while step < stop:
            at, before = step % self.per_epoch, step
            for item in islice(self._items(), at, min(self.per_epoch, at + stop - step)):
                yield self._converted(item, step)
                step += 1
            if step == before:
                raise DataError(f"{self.name}: expected {self.per_epoch} batches in each epoch, got {at}")

    def given(self, batch: Batch, step: int) -> Batch:
        """Move a batch to the device."""
        inputs, targets = batch
        return placed(inputs, self.device, self.settings), placed_targets(targets, self.device)

    def first(self) -> Inputs:
        """Return the inputs of the first batch."""
        return placed(next(self.batches(0, 1))[0], self.device, self.settings)

    def plain(self, count: int) -> Iterator[tuple[Inputs]]:
        """Yield the inputs of the first `count` steps."""
        for inputs, _ in self.batches(0, count):
            yield (placed(inputs, self.device, self.settings),)

    def placed(self, inputs: Inputs) -> Inputs:
        """Move inputs to the device, in the memory layout of the settings."""
        return placed(inputs, self.device, self.settings)

    def _converted(self, item: Any, number: int) -> Batch:
        """Convert what the loader yields to float32 inputs in the network's order, and targets."""
        where = f"{self.name} batch {number % getattr(self, 'per_epoch', 1 << 62)}"
        x, y = self._parted(item, where)
        arrays = self._ordered(x, where)
        inputs = tuple(_float32(value, where) for value in arrays)
        for tensor, (name, shape) in zip(inputs, self.shapes.items(), strict=True):
            if tuple(tensor.shape[1:]) != shape or tensor.ndim == 0 or len(tensor) != len(inputs[0]):
                raise DataError(
                    f"{where}: expected batches of input '{name}' of shape (N, {', '.join(map(str, shape))}), got "
                    f"{tuple(tensor.shape)}; a loader gives batches, of samples as the network takes them"
                )
        if y is None:
            if self.need_labels:
                raise DataError(
                    f"{where}: training needs targets, got none; give batches (inputs, targets); "
                    "for a pair of arrays (x, y) use intaglio.data.match(open_data((x, y)), shape)"
                )
            return inputs, None
        return inputs, self._checked(target_tensors(y), len(inputs[0]), where)

    def _parted(self, item: Any, where: str) -> tuple[Any, Any]:
        if isinstance(item, Mapping):
            named = dict(item)
            return named, None if "y" in self.shapes else named.pop("y", None)
        if isinstance(item, Tensor) or hasattr(item, "__array__"):
            return item, None
        if isinstance(item, list | tuple) and len(item) in (1, 2):
            return item[0], item[1] if len(item) == 2 else None
        raise DataError(
            f"{where}: expected a pair (inputs, targets), got {type(item).__name__}"
            + (f" of {len(item)}; several inputs are ((a, b), targets)" if isinstance(item, list | tuple) else "")
        )

    def _ordered(self, x: Any, where: str) -> list[Any]:
        if isinstance(x, Mapping):
            if set(x) == set(self.shapes):
                return [x[name] for name in self.shapes]
            if set(x) == {"x"} and len(self.shapes) == 1:
                return [x["x"]]
            raise DataError(f"{where}: expected the inputs {', '.join(self.shapes)}, got {', '.join(map(str, x))}")
        parts = list(x) if isinstance(x, list | tuple) else [x]
        if len(parts) != len(self.shapes):
            raise DataError(f"{where}: expected {len(self.shapes)} inputs ({', '.join(self.shapes)}), got {len(parts)}")
        return parts

    def _checked(self, targets: Any, samples: int, where: str) -> Any:
        if self.classes is None:
            return targets
        if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.numel() != samples:
            got = f"{targets.dtype} of shape {tuple(targets.shape)}" if isinstance(targets, Tensor) else type(targets)
            raise DataError(f"{where}: expected a class index for each of {samples} samples, got {got}; or give a loss")
        labels = targets.reshape(samples)
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.classes:
            raise DataError(f"{where}: expected labels from 0 to {self.classes - 1}, got {low if low < 0 else high}")
        return labels


def _float32(value: Any, where: str) -> Tensor:
    return value.float() if isinstance(value, Tensor) else torch.from_numpy(as_array(value, where).astype("float32"))
