"""Run batches on networks that take one sample at a time (Graphs that are not `batched`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from intaglio.errors import DataError
from intaglio.samples import Shape, count_samples, counts_samples, nth_sample

Outputs = tuple[Tensor, ...]


def by_sample(run: Callable[..., Outputs], shapes: Sequence[Shape], inputs: Sequence[Any]) -> Outputs:
    """Run a network on each sample of a batch and combine the results.

    Args:
        run: function from one sample's inputs to its outputs.
        shapes: shape of each input of one sample.
        inputs: one tensor or array for each input, with the same number of samples (see `intaglio.samples`); whole
            inputs may also be concatenated along their own axis 0.
    Returns:
        For a single sample the result of `run`. Otherwise the outputs concatenated along axis 0 if the inputs are, or
        if axis 0 has size 1; else stacked along a new axis 0.
    Raises:
        DataError: an input has a fraction of a sample, or numbers of samples differ.
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
    """Combine a value of several samples: concatenate along axis 0 if it has size 1 (or `beside`), else stack."""
    first = pieces[0]
    if first.ndim and (beside or counts_samples(tuple(first.shape), batched=False)):
        return torch.cat(list(pieces))
    return torch.stack(list(pieces))
