"""A few samples on their way from a source to a batch, and the conversions that every source shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from intaglio.errors import DataError

NUMBERS = "biuf"  # dtype.kind of real numbers: bool, integers, floats

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]  # sample shape, without the batch axis, by the name of the model's input


class Chunk(NamedTuple):
    """Some samples, at least one.

    Attributes:
        x: one array per model input, each (n, ...).
        names: the input of each array where the source knows it, otherwise None: in the model's order.
        y: (n,) as the source gave them, or None.
    """

    x: tuple[Array, ...]
    names: tuple[str, ...] | None = None
    y: Array | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.x[0])

    def cut(self, start: int, stop: int | None) -> Chunk:
        """The samples from `start` up to `stop`."""
        return self.take(slice(start, stop))

    def take(self, rows: slice | npt.NDArray[np.int64]) -> Chunk:
        """Some samples, by their numbers in the chunk."""
        y = None if self.y is None else self.y[rows]
        return Chunk(tuple(a[rows] for a in self.x), self.names, y)


def as_array(value: Any, where: str) -> Array:
    """Any numeric array-like (NumPy, a torch tensor on any device, nested lists, a number) as a NumPy array.

    Raises:
        DataError: it does not hold numbers.
    """
    if hasattr(value, "detach"):  # a torch tensor, known by its method so that torch need not be loaded
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value  # NumPy has no bfloat16
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected an array of numbers, got {type(value).__name__} ({error})") from error
    if array.dtype.kind not in NUMBERS:
        raise DataError(
            f"{where}: expected an array of numbers, got {type(value).__name__} of dtype {array.dtype}. "
            "Give arrays, or pairs (x, y)."
        )
    return array


def as_labels(y: Array, where: str) -> npt.NDArray[np.int64]:
    """Labels as int64 (n,). A column (n, 1) and whole numbers stored as floats are accepted.

    Raises:
        DataError: they are not one whole number per sample.
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
    """Real numbers that outputs are compared with, float32 (n, ...).

    Raises:
        DataError: they are not finite numbers.
    """
    if y.dtype.kind not in NUMBERS or not np.isfinite(y).all():
        raise DataError(f"{where}: targets must be finite numbers, got NaN, infinite ones or dtype {y.dtype}")
    return y.astype(np.float32)


def window(chunks: Iterable[Chunk], start: int, stop: int | None) -> Iterator[Chunk]:
    """Only the samples from `start` up to `stop`; nothing is read behind `stop`."""
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
    """The same samples in chunks of `size`; the last one may be smaller. Holds at most one batch and one chunk."""
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
    """Several chunks of the same form as one."""
    if len(chunks) == 1:
        return chunks[0]
    first = chunks[0]
    x = tuple(np.concatenate([c.x[i] for c in chunks]) for i in range(len(first.x)))
    y = None if first.y is None else np.concatenate([c.y for c in chunks if c.y is not None])
    return Chunk(x, first.names, y)
