"""Fingerprints of texts, arrays and data sets: shortened SHA-256.

The fingerprint of a network is `graph.graph_fingerprint`, which uses these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGITS = 16
_FIRST = 8  # samples of a data set that are hashed


class Digest:
    """Hash of texts and arrays, in the order in which they are added."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def text(self, text: str) -> Digest:
        """Add a text; boundaries between texts are not hashed."""
        self._state.update(text.encode())
        return self

    def elements(self, array: NDArray[Any]) -> Digest:
        """Add the bytes of an array's elements, without dtype and shape."""
        self._state.update(np.ascontiguousarray(array).tobytes())
        return self

    def array(self, array: NDArray[Any]) -> Digest:
        """Add an array: dtype, shape and elements."""
        if array.dtype.hasobject:
            return self.text(f"{array.dtype}{array.shape}").plain(array.ravel().tolist())
        return self.text(f"{array.dtype}{array.shape}").elements(array)

    def plain(self, value: Any) -> Digest:
        """Add texts, numbers and arrays within lists and dicts."""
        if hasattr(value, "__array__"):
            return self.array(np.asarray(value))
        if isinstance(value, Mapping):
            return self.plain([*value.items()])
        if isinstance(value, list | tuple):
            self.text(f"{type(value).__name__}{len(value)}")
            for entry in value:
                self.plain(entry)
            return self
        return self.text(repr(value))

    def name(self, digits: int = 64) -> str:
        """Return the first `digits` of 64 hexadecimal digits."""
        return self._state.hexdigest()[:digits]


def text_fingerprint(text: str) -> str:
    """Hash a text."""
    return Digest().text(text).name(_DIGITS)


def arrays_fingerprint(batches: Iterable[Mapping[str, NDArray[Any]]]) -> str:
    """Hash arrays by name, batch after batch; other batch sizes give another fingerprint."""
    digest = Digest()
    for batch in batches:
        for name, array in batch.items():
            digest.text(name).array(array)
    return digest.name(_DIGITS)


def data_fingerprint(dataset: Any) -> str:
    """Describe a data set by name, number of samples and a hash of its first samples (all may take long).

    Args:
        dataset: has `batches` (see `simulate.tensor_batches.Batches`); from an iterator only one sample is read,
            without consuming it. Or an object that stands for calibration without data, described by its `repr`.
    """
    if not hasattr(dataset, "batches"):
        return repr(dataset)
    x, y = dataset.peek() if getattr(dataset, "once", False) else next(iter(dataset.batches(_FIRST)), ((), None))
    arrays = x if isinstance(x, dict) else dict(enumerate(x if isinstance(x, tuple) else (x,)))
    named = {str(name): np.asarray(array) for name, array in arrays.items()}
    labels = {} if y is None else {"y": np.asarray(y)}
    count = getattr(dataset, "length", None)
    return f"{getattr(dataset, 'name', 'data')}, {count} samples, {arrays_fingerprint([{**named, **labels}])}"
