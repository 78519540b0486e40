"""Split samples into calibration samples and held-back samples for comparing outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data import Dataset
from intaglio.errors import UsageError
from intaglio.evaluation.stage import inputs_of
from intaglio.samples import HELD_BACK

COMPARED = 64
"""Default number of held-back samples."""


def held_back(dataset: Dataset, samples: int, held: int | None = None) -> tuple[Dataset, list[NDArray[Any]]]:
    """Split a data set into calibration samples and held-back samples.

    Args:
        dataset: data matched to the network.
        samples: most calibration samples.
        held: number of held-back samples; None: `COMPARED`, or at most a quarter where the data are too few. A single
            sample is then used for both.
    Returns:
        The calibration data, and the held-back samples as one array (N, ...) for each network input.
    Raises:
        UsageError: `samples` or `held` is below 1, or `held` leaves no sample for calibration.
    """
    most = COMPARED if held is None else held
    if samples < 1 or most < 1:
        raise UsageError(f"samples: expected at least 1 for calibration and 1 held back, got {samples} and {most}")
    dataset = dataset.limit(samples + most)
    if dataset.once or dataset.length is None:
        dataset = dataset.cached()
    length = len(dataset)
    if held is None and length == 1:
        return dataset, _arrays(dataset)
    if held is None and length < samples + most:
        most = min(most, max(1, length * HELD_BACK[0] // HELD_BACK[1]))
    if most >= length:
        raise UsageError(
            f"held-back: expected fewer than {length}, the number of samples in {dataset.name}, so that some are left "
            f"for calibration, got {most}; hold back fewer, or give more data"
        )
    fitted, rest = dataset.hold_back(most)
    return fitted, _arrays(rest)


def _arrays(dataset: Dataset) -> list[NDArray[Any]]:
    parts = [inputs_of(x) for x, _ in dataset.batches()]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
