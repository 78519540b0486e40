"""What one sample of a network is, and where it lies in an array of many.

Axis 0 of an input counts the samples where the network is batched, and where that axis is 1. Any other input is one
sample as a whole, so that an array of N samples has one axis more, in front: a network over (5, 8) takes (N, 5, 8).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD_BACK = 1, 4
"""One sample in four is held back, where nothing else is asked for."""

Shape = tuple[int, ...]


def counts_samples(shape: Shape, *, batched: bool) -> bool:
    """Whether axis 0 of a network's input or output is the samples' own axis."""
    return batched or shape[:1] == (1,)


def sample_shape(shape: Shape, *, batched: bool) -> Shape:
    """The shape of one sample of an input or output."""
    return shape[1:] if counts_samples(shape, batched=batched) else shape


def count_samples(got: Shape, shape: Shape, *, batched: bool, side_by_side: bool = False) -> int | None:
    """How many samples an array holds.

    Args:
        got: the array's shape.
        shape: the network's own.
        batched: axis 0 of the network's inputs is a batch.
        side_by_side: accept whole inputs one behind the other along their own axis 0 as well, (N * 5, 8) for (5, 8).
    Returns:
        None where the array does not fit.
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
    """Sample `i` of an array or tensor that `count_samples` accepts, as the network takes it: in its own shape.

    Of a batched network only where axis 0 of `shape` is 1.
    """
    return x[i] if x.ndim > len(shape) else x[i * shape[0] : (i + 1) * shape[0]] if shape else x


def is_held_back(numbers: NDArray[np.int64], held: int = HELD_BACK[0], of: int = HELD_BACK[1]) -> NDArray[np.bool_]:
    """Which samples nothing learns from: spread evenly, so that data sorted by class lose some of each.

        sample i is held back  <=>  floor((i + 1) held / of) > floor(i held / of)

    Args:
        numbers: of samples in their data set, from 0.
        held, of: so many of so many: every fourth (3, 7, 11, ...) by default.
    """
    found: NDArray[np.bool_] = (numbers + 1) * held // of > numbers * held // of
    return found
