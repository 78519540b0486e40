"""Batches for networks that take one sample at a time: those whose Graph is not `batched`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from intaglio.errors import DataError
from intaglio.samples import Shape, count_samples, counts_samples, nth_sample

Outputs = tuple[Tensor, ...]


def by_sample(run: Callable[..., Outputs], shapes: Sequence[Shape], inputs: Sequence[Any]) -> Outputs:
    """Call a network once for each sample of a batch and put the results together.

    Args:
        run: one sample's inputs to its outputs.
        shapes: of each input of one sample.
        inputs: one tensor or array each, of the same number of samples (see `intaglio.samples`); whole inputs may also
            lie one behind the other along their own axis 0.
    Returns:
        For a single sample what `run` returns. Otherwise the samples' outputs behind each other along axis 0 where that
        is how the inputs lie, or where axis 0 is 1; else along an axis of their own, in front.
    Raises:
        DataError: parts of a sample, or different numbers of samples.
    """
    counts = [
        count_samples(tuple(x.shape), shape, batched=False, side_by_side=True)
        for x, shape in zip(inputs, shapes, strict=True)
    ]
    count = counts[0]
    if not count or counts != [count] * len(counts):
        raise DataError(
            f"batch: expected whole samples of shape {' and '.join(map(str, shapes))}, equally many for every input, "
            f"got {', '.join(str(tuple(x.shape)) for x in inputs)}"
        )
    given = list(zip(inputs, shapes, strict=True))
    if all(tuple(x.shape) == shape for x, shape in given):
        return run(*inputs)
    beside = any(x.ndim == len(shape) and tuple(x.shape) != shape and shape[0] != 1 for x, shape in given)
    parts = [run(*(nth_sample(x, i, shape) for x, shape in given)) for i in range(count)]
    return tuple(put_together(pieces, beside=beside) for pieces in zip(*parts, strict=True))


def put_together(pieces: Sequence[Tensor], *, beside: bool = False) -> Tensor:
    """One value of several samples: along axis 0 where it is 1 (or all go `beside`), else along a new axis in front."""
    first = pieces[0]
    if first.ndim and (beside or counts_samples(tuple(first.shape), batched=False)):
        return torch.cat(list(pieces))
    return torch.stack(list(pieces))
