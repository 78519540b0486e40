"""Split samples into calibration samples and held-back samples for comparing outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data import Dataset
from intaglio.errors import UsageError
from intaglio.evaluation.stage import inputs_of
from intaglio.samples import HELD_BACK


def held_back(dataset: Dataset, samples: int, held: int) -> tuple[Dataset, list[NDArray[Any]]]:
    """Split a data set into calibration samples and held-back samples.

    Args:
        dataset: data matched to the network.
        samples: most calibration samples.
        held: most held-back samples; if the data are too few for both, at most a quarter is held back. A single sample
            is used for both.
    Returns:
        The calibration data, and the held-back samples as one array (N, ...) for each network input.
    Raises:
        UsageError: `samples` or `held` is below 1.
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
