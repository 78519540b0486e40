"""Labels that count something: class indices of pixels and tokens, of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError


def whole_numbers(metric: str, labels: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return labels as int64.

    Args:
        metric: for error messages.
        labels: array of whole numbers.
        shape: the shape that they must have.
    Raises:
        DataError: they are none, or have another shape.
    """
    array = np.asarray(labels) if isinstance(labels, np.ndarray | list) else np.zeros(0, object)
    if array.dtype.kind not in "biuf" or array.shape != shape:
        got = f"shape {array.shape}" if array.dtype.kind in "biuf" else f"labels of type {type(labels).__name__}"
        raise DataError(f"{metric}: expected labels of shape {shape}, as the outputs have, got {got}")
    numbers = array.astype(np.int64)
    if array.dtype.kind == "f" and not np.array_equal(numbers, array):
        raise DataError(f"{metric}: expected class indices, got {array[numbers != array][0]}")
    return numbers


def confusion_matrix(metric: str, labels: NDArray[np.int64], predicted: NDArray[Any], classes: int) -> NDArray[Any]:
    """Count pairs of label and prediction, float64 (classes, classes).

    Raises:
        DataError: a label is no class.
    """
    if labels.size and int(labels.max()) >= classes:
        raise DataError(f"{metric}: expected labels below {classes} (the model's output), got {int(labels.max())}")
    pairs = np.bincount(labels.ravel() * classes + predicted.ravel(), minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.float64)
