"""Batches for networks that take one sample at a time: those whose Graph is not `batched`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from intaglio.errors import DataError

Outputs = tuple[Tensor, ...]


def by_sample(run: Callable[..., Outputs], sizes: Sequence[int], inputs: Sequence[Tensor]) -> Outputs:
    """Call a network once for each sample of a batch and put the results together.

    Args:
        run: one sample's inputs to its outputs.
        sizes: axis 0 of each input of one sample.
        inputs: axis 0 is a whole number of samples, the same for all.
    Returns:
        The outputs along axis 0.
    Raises:
        DataError: parts of a sample, or different numbers of samples.
    """
    counts = {x.shape[0] // size if x.shape[0] % size == 0 else 0 for x, size in zip(inputs, sizes, strict=True)}
    if len(counts) != 1 or counts == {0}:
        got = ", ".join(str(x.shape[0]) for x in inputs)
        raise DataError(
            f"batch: expected whole samples, axis 0 a multiple of {', '.join(map(str, sizes))} and the same one for "
            f"every input, got {got}"
        )
    if counts == {1}:
        return run(*inputs)
    parts = [run(*sample) for sample in zip(*(x.split(n) for x, n in zip(inputs, sizes, strict=True)), strict=True)]
    return tuple(joined(pieces) for pieces in zip(*parts, strict=True))


def joined(pieces: Sequence[Tensor]) -> Tensor:
    """The results of several runs along axis 0; single numbers become a vector."""
    return pieces[0] if len(pieces) == 1 else torch.cat(torch.atleast_1d(*pieces))
