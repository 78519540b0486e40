"""Read samples from Python objects: lists, torch Datasets and DataLoaders, generators, functions that return these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Protocol

from intaglio.data.chunk import Array, Chunk, Shapes, as_array, label_array, window
from intaglio.errors import DataError


class Indexed(Protocol):
    """Object with length and item access by index, such as a list or a torch Dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class SequenceSource:
    """Source of items read by index: only needed samples are created."""

    once = False
    class_names: tuple[str, ...] | None = None

    def __init__(self, items: Indexed, *, labels: bool = True) -> None:
        self.name = type(items).__name__
        self.items = items
        self.keep_labels = labels

    def count(self, shapes: Shapes | None) -> int | None:
        if not len(self.items):
            return 0
        return len(self.items) if not self._read(0, shapes)[1] else None

    def labels(self) -> None:
        return None

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        total = len(self.items)
        if not total:
            return
        if self._read(0, shapes)[1]:
            yield from window((self._read(i, shapes)[0] for i in range(total)), start, stop)
            return
        for i in range(start, total if stop is None else min(stop, total)):
            chunk, stacked = self._read(i, shapes)
            if stacked:
                raise DataError(
                    f"{self.name} item {i}: is a batch, but item 0 is a single sample. Give one or the other."
                )
            yield chunk

    def _read(self, index: int, shapes: Shapes | None) -> tuple[Chunk, bool]:
        where = f"{self.name} item {index}"
        return read_item(self.items[index], where, shapes, stacked=False, keep_labels=self.keep_labels)


class IterableSource:
    """Source of items read in order, from an iterable or from a function that returns one."""

    class_names: tuple[str, ...] | None = None

    def __init__(self, items: Iterable[Any] | Callable[[], Iterable[Any]], *, labels: bool = True) -> None:
        self.name = getattr(items, "__name__", type(items).__name__)
        self.items = items
        self.keep_labels = labels
        self.once = isinstance(items, Iterator)
        self._used = False
        self._head: list[Any] = []  # read from an iterator by `peek`, not yet yielded

    def count(self, shapes: Shapes | None) -> None:
        return None

    def labels(self) -> None:
        return None

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        if self.once and self._used:
            raise DataError(
                f"{self.name}: this iterator was already read, which works only once. Give a list, a path, "
                "a function that returns a new iterator, or keep its samples in memory with open_data(...).cached()."
            )
        self._used = True
        if isinstance(self.items, Iterator):
            return window(self._read(chain(self._head, self.items), shapes), start, stop)
        items = self.items() if callable(self.items) and not isinstance(self.items, Iterable) else self.items
        assert isinstance(items, Iterable)
        return window(self._read(items, shapes), start, stop)

    def peek(self, shapes: Shapes | None) -> Chunk | None:
        """Return the first item without consuming it."""
        if isinstance(self.items, Iterator) and not self._used:
            self._head = self._head or list(islice(self.items, 1))
            return next(self._read(self._head, shapes), None)
        return next(self.chunks(0, 1, shapes), None)

    def _read(self, items: Iterable[Any], shapes: Shapes | None) -> Iterator[Chunk]:
        for i, item in enumerate(items):
            where = f"{self.name} item {i}"
            yield read_item(item, where, shapes, stacked=True, keep_labels=self.keep_labels)[0]


def read_item(
    item: Any, where: str, shapes: Shapes | None, *, stacked: bool, keep_labels: bool = True
) -> tuple[Chunk, bool]:
    """Convert an item to a Chunk; return it and whether the item was a batch.

    An item is x, a pair (x, y), or a dict by input name in which "y" is the label; x is an array, a tuple of arrays in
    the order of the model's inputs, or a dict of arrays. It is a batch if it has one axis more than the model's samples
    (`shapes`). Without a model, the label decides (a single number means a sample), otherwise `stacked`.

    Raises:
        DataError: the item has another form, or x and y have different numbers of samples.
    """
    x, names, y = _parse(item, where, shapes)
    labelled = keep_labels and y is not None
    label = label_array(y, f"{where}, label") if labelled else None
    ranks = [a.ndim for a in x]
    if shapes is not None:
        wanted = [len(shapes[name]) for name in names if name in shapes] if names else [len(s) for s in shapes.values()]
        above = [have - want for have, want in zip(ranks, wanted, strict=True)] if len(wanted) == len(ranks) else []
        stacked = bool(above) and set(above) == {1}
        if not stacked and set(above) == {
            0,
            1,
        }:  # one sample in the network's shapes, some of which have a batch axis of 1
            x = tuple(a[0] if more and a.shape[0] == 1 else a for a, more in zip(x, above, strict=True))
    elif label is not None and not label.dtype.hasobject:
        stacked = label.ndim > 0 and 0 not in ranks and label.shape[0] == x[0].shape[0]
    elif labelled:
        stacked = isinstance(y, tuple | list) and 0 not in ranks and len(y) == x[0].shape[0]
    if 0 in ranks:
        stacked = False
    if not stacked:
        x = tuple(a[None] for a in x)
        label = None if label is None else label[None]
    elif label is not None and label.dtype.hasobject:
        label = label_array(y, f"{where}, label", x[0].shape[0])
    elif label is not None and label.ndim == 0:
        label = label[None]
    size = x[0].shape[0]
    if any(a.shape[0] != size for a in x) or (label is not None and label.shape[0] != size):
        shapes_text = ", ".join(str(a.shape) for a in x)
        raise DataError(
            f"{where}: inputs and labels must count the same samples, got x of shape {shapes_text}"
            + (f" and y of shape {label.shape}" if label is not None else "")
        )
    if label is not None and not stacked and label.ndim == 2 and label.shape[1] == 1:
        label = label[:, 0]
    return Chunk(x, names, label), stacked


def _parse(item: Any, where: str, shapes: Shapes | None) -> tuple[tuple[Array, ...], tuple[str, ...] | None, Any]:
    y = None
    if isinstance(item, tuple) and shapes is not None and 1 < len(item) == len(shapes) and _all_inputs(item, shapes):
        item = (item,)
    if _is_group(item):
        if len(item) > 2 or not len(item):
            raise DataError(
                f"{where}: expected x or a pair (x, y), got {len(item)} values. "
                "Give the inputs of a model with several as ((a, b), y) or as a dict by name."
            )
        x, y = item if len(item) == 2 else (item[0], None)
    else:
        x = item
    if isinstance(x, Mapping):
        named = dict(x)
        if y is None and (shapes is None or "y" not in shapes):
            y = named.pop("y", None)
        if list(named) == ["x"]:
            return (as_array(named["x"], where),), None, y
        if not named:
            raise DataError(f"{where}: expected a dict of arrays by input name, got one without inputs")
        return tuple(as_array(v, f"{where} '{k}'") for k, v in named.items()), tuple(map(str, named)), y
    if _is_group(x):
        if not len(x):
            raise DataError(f"{where}: expected arrays, got an empty {type(x).__name__}")
        return tuple(as_array(v, f"{where}, input {i}") for i, v in enumerate(x)), None, y
    return (as_array(x, where),), None, y


def _all_inputs(item: tuple[Any, ...], shapes: Shapes) -> bool:
    """Return whether a tuple is one array for each model input (samples or batches), without labels."""
    sizes = [tuple(getattr(value, "shape", ())) for value in item]
    return all(
        hasattr(value, "shape") and size[len(size) - len(want) :] == want and len(size) - len(want) in (0, 1)
        for value, size, want in zip(item, sizes, shapes.values(), strict=True)
    )


def _is_group(value: Any) -> bool:
    """Return whether a value is a tuple, or a list of arrays (DataLoader makes one from a tuple), not of numbers."""
    if isinstance(value, tuple):
        return True
    return isinstance(value, list) and any(hasattr(v, "shape") or isinstance(v, Mapping) or _is_group(v) for v in value)
