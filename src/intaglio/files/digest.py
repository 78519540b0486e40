"""Short names for contents: equal names, equal contents. SHA-256, shortened.

That of a network is `graph.graph_fingerprint`, which is made of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGITS = 16
_FIRST = 8  # samples that stand for a data set


class Digest:
    """Of texts and arrays, in the order in which they are added."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def text(self, text: str) -> Digest:
        """Add a text; where one ends and the next begins is not counted."""
        self._state.update(text.encode())
        return self

    def elements(self, array: NDArray[Any]) -> Digest:
        """Add the bytes of an array's elements, without its type and shape."""
        self._state.update(np.ascontiguousarray(array).tobytes())
        return self

    def array(self, array: NDArray[Any]) -> Digest:
        """Add an array: type, shape and elements."""
        return self.text(f"{array.dtype}{array.shape}").elements(array)

    def name(self, digits: int = 64) -> str:
        """So many hexadecimal digits; all 64 where nobody has to read them."""
        return self._state.hexdigest()[:digits]


def text_fingerprint(text: str) -> str:
    """Of anything whose text says all of it."""
    return Digest().text(text).name(_DIGITS)


def arrays_fingerprint(batches: Iterable[Mapping[str, NDArray[Any]]]) -> str:
    """Of arrays by name, batch after batch; how they are cut into batches counts."""
    digest = Digest()
    for batch in batches:
        for name, array in batch.items():
            digest.text(name).array(array)
    return digest.name(_DIGITS)


def data_fingerprint(dataset: Any) -> str:
    """Name, number and first samples of a data set; not the whole of it, which may be long.

    Args:
        dataset: has `batches` (see `simulate.tensor_batches.Batches`); of an iterator only one sample is looked at,
            and not used up. Or what stands for data where there are none, which its text describes.
    """
    if not hasattr(dataset, "batches"):
        return repr(dataset)
    x, y = dataset.peek() if getattr(dataset, "once", False) else next(iter(dataset.batches(_FIRST)), ((), None))
    arrays = x if isinstance(x, dict) else dict(enumerate(x if isinstance(x, tuple) else (x,)))
    named = {str(name): np.asarray(array) for name, array in arrays.items()}
    labels = {} if y is None else {"y": np.asarray(y)}
    count = getattr(dataset, "length", None)
    return f"{getattr(dataset, 'name', 'data')}, {count} samples, {arrays_fingerprint([{**named, **labels}])}"
