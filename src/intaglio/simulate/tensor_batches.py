"""Convert a data set to tensors by input name, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import DataError
from intaglio.progress import progress
from intaglio.samples import count_samples, nth_sample, sample_shape
from intaglio.simulate.simulator import Simulator

Feed = dict[str, Tensor]


class Batches(Protocol):
    """Data set as calibration needs it (`intaglio.data.Dataset` implements it)."""

    def batches(self, n: int) -> Iterable[tuple[Any, Any]]:
        """Yield (x, y) in batches of n samples: x an array (N, ...), a tuple of arrays, or a dict by input name."""


def feeds(dataset: Batches, simulator: Simulator, batch_size: int, label: str = "") -> Iterator[tuple[int, Feed]]:
    """Yield (number of samples, tensors by input name); single samples if the Graph is not batched.

    Raises:
        DataError: an input is missing, or has another shape than the Graph's.
    """
    length = getattr(dataset, "length", None)
    total = -(-length // batch_size) if isinstance(length, int) else None
    for x, _ in progress(dataset.batches(batch_size), total, label):
        arrays = _by_name(x, simulator.input_names)
        sizes = {name: _samples(name, a, simulator) for name, a in arrays.items()}
        size = next(iter(sizes.values()))
        if len(set(sizes.values())) > 1:
            raise DataError(f"calibration data: expected as many samples of each input, got {sizes}")
        if simulator.batched:
            if size:
                yield size, {name: _tensor(a, simulator) for name, a in arrays.items()}
            continue
        for i in range(size):
            one = {name: nth_sample(a, i, simulator.input_shapes[name]) for name, a in arrays.items()}
            yield 1, {name: _tensor(a, simulator) for name, a in one.items()}


def rows(feed: Mapping[str, Tensor], which: NDArray[np.int64], size: int) -> Feed:
    """Copy some of the `size` samples of a batch; with a single sample, all of each tensor."""
    if size == 1:
        return {name: x.clone() for name, x in feed.items()}
    return {name: x[torch.as_tensor(which, device=x.device)] for name, x in feed.items()}


def _tensor(x: NDArray[Any], simulator: Simulator) -> Tensor:
    """Convert to a float32 tensor on the simulator's device."""
    return torch.as_tensor(np.ascontiguousarray(x, np.float32), device=simulator.device)


def _by_name(x: Any, names: list[str]) -> dict[str, NDArray[Any]]:
    if isinstance(x, dict):
        if set(x) != set(names):
            raise DataError(f"calibration data: expected inputs {', '.join(names)}, got {', '.join(map(str, x))}")
        return {name: np.asarray(x[name]) for name in names}
    arrays = [np.asarray(a) for a in (x if isinstance(x, (tuple, list)) else (x,))]
    if len(arrays) != len(names):
        raise DataError(f"calibration data: expected {len(names)} inputs ({', '.join(names)}), got {len(arrays)}")
    return dict(zip(names, arrays, strict=True))


def _samples(name: str, x: NDArray[Any], simulator: Simulator) -> int:
    """Return the number of samples in an array."""
    want = simulator.input_shapes[name]
    found = count_samples(x.shape, want, batched=simulator.batched, side_by_side=True)
    if found is None:
        expected = ", ".join(map(str, ("N", *sample_shape(want, batched=simulator.batched))))
        raise DataError(f"calibration data, input {name!r}: expected shape ({expected}), got {x.shape}")
    return found
