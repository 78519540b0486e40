"""The elements of a constant, from the bytes of its buffer."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ModelError, UnsupportedOperatorError

_DTYPES: dict[str, Any] = {
    "FLOAT32": np.float32, "FLOAT16": np.float16, "FLOAT64": np.float64, "BOOL": np.bool_,
    "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "UINT16": np.uint16, "INT32": np.int32, "UINT32": np.uint32,
    "INT64": np.int64, "UINT64": np.uint64, "INT4": ml_dtypes.int4,
}  # fmt: skip


def dtype_of(kind: str) -> np.dtype[Any]:
    """Return the type of elements, by TFLite's name of it.

    Raises:
        UnsupportedOperatorError: they are no numbers, or complex ones.
    """
    if kind not in _DTYPES:
        raise UnsupportedOperatorError(f"expected a tensor of numbers, got {kind}; convert the model without it")
    found: np.dtype[Any] = np.dtype(_DTYPES[kind])
    return found


def elements_of(
    name: str, kind: str, shape: tuple[int, ...], buffer: NDArray[np.uint8], *, sparse: bool
) -> NDArray[Any]:
    """Return the elements of a constant in its shape.

    Raises:
        ModelError: there are more bytes than the shape has elements, or fewer.
        UnsupportedOperatorError: they are sparse, or no numbers.
    """
    if sparse:
        raise UnsupportedOperatorError(
            f"tensor '{name}': expected a dense constant, got a sparse one; convert the model without sparse weights"
        )
    dtype, elements = dtype_of(kind), math.prod(shape)
    wanted = (elements + 1) // 2 if kind == "INT4" else elements * dtype.itemsize
    if buffer.size != wanted:
        raise ModelError(
            f"tensor '{name}': expected {wanted} bytes for shape {shape} of {kind}, got {buffer.size}; the file is "
            "damaged"
        )
    if kind == "INT4":  # two codes in a byte, the first in the low half
        halves = np.stack([buffer << 4, buffer], axis=-1).reshape(-1).view(np.int8) >> 4
        return halves[:elements].astype(dtype).reshape(shape)
    return np.frombuffer(buffer.tobytes(), dtype).reshape(shape)
