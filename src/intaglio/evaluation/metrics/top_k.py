"""Top-k accuracy: percent of samples whose class is among the k largest outputs.   top_k = 100 * hits / N"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.evaluation.metric import Metric, SampleMean

Array = NDArray[Any]


def top_k(k: int) -> Metric:
    """Return top-k accuracy in percent. Of equal outputs the first counts as larger."""

    def each(y: Array, label: Array) -> Array:
        scores = y.reshape(len(y), -1)
        if int(label.max(initial=0)) >= scores.shape[1]:
            raise DataError(
                f"labels: expected classes below {scores.shape[1]} (the model's output), got {int(label.max())}"
            )
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.asarray((best == label.reshape(-1, 1)).any(axis=1) * 100.0)

    chance = (lambda classes: 100.0 / classes) if k == 1 else None
    return Metric(f"top{k}", SampleMean(each), unit="%", labels="classes", chance=chance)
