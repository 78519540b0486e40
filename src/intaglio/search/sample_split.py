"""Samples on which outputs are compared, apart from those on which ranges were found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data import Dataset
from intaglio.errors import UsageError
from intaglio.evaluation.stage import inputs_of
from intaglio.samples import HELD_BACK


def held_back(dataset: Dataset, samples: int, held: int) -> tuple[Dataset, list[NDArray[Any]]]:
    """Samples for calibration, and arrays of those held back among them, one array per input of the network.

    Args:
        dataset: matched with the network.
        samples: for calibration, at most; fewer where the data would not leave others.
        held: held back, at most; of data that are too few a quarter. Of a single sample there is nothing to hold back:
            it is both.
    Raises:
        UsageError: a number below 1.
    """
    if samples < 1 or held < 1:
        raise UsageError(f"samples: expected at least 1 for calibration and 1 held back, got {samples} and {held}")
    dataset = dataset.limit(samples + held)
    if dataset.once or dataset.length is None:
        dataset = dataset.cached()
    length = len(dataset)
    if length == 1:
        return dataset, _arrays(dataset)
    if length < samples + held:
        held = min(held, max(1, length * HELD_BACK[0] // HELD_BACK[1]))
    fitted, rest = dataset.hold_back(held)
    return fitted, _arrays(rest)


def _arrays(dataset: Dataset) -> list[NDArray[Any]]:
    parts = [inputs_of(x) for x, _ in dataset.batches()]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
