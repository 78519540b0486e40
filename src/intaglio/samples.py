"""Define what one sample of a network is, and its place in an array of samples.

Axis 0 of an input is the batch axis if the network is batched, or if the axis has size 1. Any other input is one sample
as a whole, and an array of N samples has an additional axis 0: a network over (5, 8) takes (N, 5, 8).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD_BACK = 1, 4
"""By default one sample in four is held back."""

Shape = tuple[int, ...]


def counts_samples(shape: Shape, *, batched: bool) -> bool:
    """Return whether axis 0 of a network's input or output is the batch axis."""
    return batched or shape[:1] == (1,)


def sample_shape(shape: Shape, *, batched: bool) -> Shape:
    """Return the shape of one sample of an input or output."""
    return shape[1:] if counts_samples(shape, batched=batched) else shape


def count_samples(got: Shape, shape: Shape, *, batched: bool, side_by_side: bool = False) -> int | None:
    """Return the number of samples in an array.

    Args:
        got: shape of the array.
        shape: shape of the network's input.
        batched: whether axis 0 of the network's inputs is the batch axis.
        side_by_side: also accept inputs concatenated along their own axis 0, (N * 5, 8) for (5, 8).
    Returns:
        The number; None if the array does not fit.
    """
    if counts_samples(shape, batched=batched):
        return got[0] if len(got) == len(shape) and got[1:] == shape[1:] else None
    if got == shape:
        return 1
    if got[1:] == shape and len(got) == len(shape) + 1:
        return got[0]
    if side_by_side and len(got) == len(shape) and got[1:] == shape[1:] and got[0] % shape[0] == 0:
        return got[0] // shape[0]
    return None


def nth_sample(x: Any, i: int, shape: Shape) -> Any:
    """Return sample `i` of an array or tensor that `count_samples` accepts, in the network's input shape.

    For a batched network only if axis 0 of `shape` has size 1.
    """
    return x[i] if x.ndim > len(shape) else x[i * shape[0] : (i + 1) * shape[0]] if shape else x


def is_held_back(numbers: NDArray[np.int64], held: int = HELD_BACK[0], of: int = HELD_BACK[1]) -> NDArray[np.bool_]:
    """Select held-back samples, evenly spread, so that data sorted by class lose some of each class.

        sample i is held back  <=>  floor((i + 1) held / of) > floor(i held / of)

    Args:
        numbers: numbers of samples in the data set, from 0.
        held, of: hold back `held` of every `of` samples; default: every fourth (3, 7, 11, ...).
    Returns:
        True for held-back samples, in the shape of `numbers`.
    """
    found: NDArray[np.bool_] = (numbers + 1) * held // of > numbers * held // of
    return found
