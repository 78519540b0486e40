"""Chunks of samples between source and batch, and conversions shared by all sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from intaglio.errors import DataError

NUMBERS = "biuf"  # dtype.kind of real numbers: bool, integers, floats

Array = npt.NDArray[Any]
LabelForm: TypeAlias = Literal["classes", "numbers", "given"]
"""Class indices, int64 (N,); real numbers, float32 (N, ...); or as in the data: an array of any type and shape, of
objects where the labels of samples are texts, dicts, or arrays of different shapes."""
Shapes = Mapping[str, tuple[int, ...]]  # model input -> shape of one sample, without batch axis


class Chunk(NamedTuple):
    """One or more samples.

    Attributes:
        x: one array (N, ...) for each model input.
        names: input names of the arrays; None if the source does not know them: in the model's order.
        y: labels (N, ...) as read from the source, or None; see `label_array`.
    """

    x: tuple[Array, ...]
    names: tuple[str, ...] | None = None
    y: Array | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.x[0])

    def cut(self, start: int, stop: int | None) -> Chunk:
        """Return samples `start` to `stop - 1`."""
        return self.take(slice(start, stop))

    def take(self, rows: slice | npt.NDArray[np.int64]) -> Chunk:
        """Return some samples by slice or index."""
        y = None if self.y is None else self.y[rows]
        return Chunk(tuple(a[rows] for a in self.x), self.names, y)


def as_array(value: Any, where: str) -> Array:
    """Convert an array-like (NumPy array, torch tensor on any device, nested lists, number) to a NumPy array.

    Raises:
        DataError: it does not contain numbers.
    """
    try:
        array = _plain_array(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected an array of numbers, got {type(value).__name__} ({error})") from error
    if array.dtype.kind not in NUMBERS:
        raise DataError(
            f"{where}: expected an array of numbers, got {type(value).__name__} of dtype {array.dtype}. "
            "Give arrays, or pairs (x, y)."
        )
    return array


def _plain_array(value: Any) -> Array:
    if hasattr(value, "detach"):  # a torch tensor; duck-typed, so that torch need not be imported
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value  # NumPy has no bfloat16
    return np.asarray(value)


def _numbers(value: Any) -> Array | None:
    """Convert to an array of real numbers; None for anything else, such as texts, dicts and lists of unequal length."""
    if isinstance(value, str | bytes | Mapping):
        return None
    try:
        array = _plain_array(value)
    except (TypeError, ValueError):  # NumPy has no other way to say that lengths differ
        return None
    return array if array.dtype.kind in NUMBERS else None


def label_array(value: Any, where: str, samples: int | None = None) -> Array:
    """Convert a label to an array of numbers, or to one of objects: texts, dicts, arrays of different shapes.

    Args:
        value: the label of one sample, or those of several.
        where: for error messages.
        samples: how many samples it is of; None: of one, which gives an array without axes for an object.
    Raises:
        DataError: it is of another number of samples.
    """
    numbers = _numbers(value)
    if numbers is not None:
        return numbers
    if samples is None:
        return objects([value]).reshape(())
    if isinstance(value, Mapping):
        rows = {key: list(entry) for key, entry in value.items() if hasattr(entry, "__len__")}
        if len(rows) == len(value) and {len(row) for row in rows.values()} == {samples}:
            return objects([dict(zip(rows, entry, strict=True)) for entry in zip(*rows.values(), strict=True)])
    elif hasattr(value, "__len__") and not isinstance(value, str | bytes) and len(value) == samples:
        return objects(list(value))
    raise DataError(f"{where}: expected a list with a label for each of {samples} samples, got {type(value).__name__}")


def objects(values: list[Any]) -> Array:
    """Return an array (N,) of Python objects, whatever they are."""
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def as_given(y: Array) -> Array:
    """Stack an array of objects that are numbers or arrays of one shape; others stay as they are."""
    if not y.dtype.hasobject:
        return y
    rows = [np.asarray(row) for row in y if isinstance(row, int | float | np.ndarray | np.generic)]
    return np.stack(rows) if len(rows) == len(y) and len({row.shape for row in rows}) == 1 else y


def as_labels(y: Array, where: str) -> npt.NDArray[np.int64]:
    """Convert labels to int64 (N,); accepts a column (N, 1) and integers stored as floats.

    Raises:
        DataError: they are not one integer for each sample.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(
            f"{where}: labels must be one class index per sample, got shape {y.shape}. "
            "Take the argmax of one-hot labels; give two model inputs as ((a, b), y) or as a dict by name."
        )
    if y.dtype.kind not in NUMBERS:
        raise DataError(f"{where}: labels must be whole numbers, got dtype {y.dtype}")
    labels = y.astype(np.int64)
    if y.dtype.kind == "f" and not np.array_equal(labels, y):
        raise DataError(f"{where}: labels must be whole numbers, got {y[labels != y][0]}")
    return labels


def as_targets(y: Array, where: str) -> npt.NDArray[np.float32]:
    """Convert regression targets to float32 (N, ...).

    Raises:
        DataError: they contain NaN, infinities or no numbers.
    """
    if y.dtype.kind not in NUMBERS or not np.isfinite(y).all():
        raise DataError(f"{where}: targets must be finite numbers, got NaN, infinities or dtype {y.dtype}")
    return y.astype(np.float32)


def window(chunks: Iterable[Chunk], start: int, stop: int | None) -> Iterator[Chunk]:
    """Yield samples `start` to `stop - 1`; nothing after `stop` is read."""
    if stop is not None and start >= stop:
        return
    at = 0
    for chunk in chunks:
        begin, end = at, at + chunk.size
        at = end
        if end > start:
            yield chunk.cut(max(start - begin, 0), None if stop is None else min(stop, end) - begin)
        if stop is not None and end >= stop:
            return


def rebatch(chunks: Iterable[Chunk], size: int) -> Iterator[Chunk]:
    """Regroup samples into chunks of `size` (the last may be smaller); keeps at most one batch and one chunk."""
    waiting: list[Chunk] = []
    count = 0
    for chunk in chunks:
        waiting.append(chunk)
        count += chunk.size
        if count < size:
            continue
        whole = join(waiting)
        full = count - count % size
        for at in range(0, full, size):
            yield whole.cut(at, at + size)
        waiting = [whole.cut(full, None)] if full < count else []
        count -= full
    if waiting:
        yield join(waiting)


def join(chunks: list[Chunk]) -> Chunk:
    """Concatenate chunks of the same form."""
    if len(chunks) == 1:
        return chunks[0]
    first = chunks[0]
    x = tuple(np.concatenate([c.x[i] for c in chunks]) for i in range(len(first.x)))
    return Chunk(x, first.names, None if first.y is None else _join_labels([c.y for c in chunks if c.y is not None]))


def _join_labels(parts: list[Array]) -> Array:
    if len({part.shape[1:] for part in parts}) == 1 and not any(part.dtype.hasobject for part in parts):
        return np.concatenate(parts)
    return objects([row for part in parts for row in part])
