"""A data set as the tensors that a network takes, batch by batch."""

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
    """What calibration needs of a data set (`intaglio.data.Dataset` has it)."""

    def batches(self, n: int) -> Iterable[tuple[Any, Any]]:
        """(x, y) in batches of n samples: x an array (n, ...), a tuple of them, or a dict by input name."""


def feeds(dataset: Batches, simulator: Simulator, batch_size: int, label: str = "") -> Iterator[tuple[int, Feed]]:
    """Batches as tensors by input name, and how many samples each holds; single samples where a Graph is not batched.

    Raises:
        DataError: an input is missing, or has a shape that is not the Graph's.
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
    """A copy of some of the `size` samples of a batch; a single one is all of the tensors, whatever their axis 0."""
    if size == 1:
        return {name: x.clone() for name, x in feed.items()}
    return {name: x[torch.as_tensor(which, device=x.device)] for name, x in feed.items()}


def _tensor(x: NDArray[Any], simulator: Simulator) -> Tensor:
    """A float32 tensor where the simulator runs."""
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
    """How many samples an array holds."""
    want = simulator.input_shapes[name]
    found = count_samples(x.shape, want, batched=simulator.batched, side_by_side=True)
    if found is None:
        expected = ", ".join(map(str, ("N", *sample_shape(want, batched=simulator.batched))))
        raise DataError(f"calibration data, input {name!r}: expected shape ({expected}), got {x.shape}")
    return found
