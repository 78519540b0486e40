"""F1 score in percent: the harmonic mean of precision and recall.

    F1[c] = 2 TP[c] / (2 TP[c] + FP[c] + FN[c])        F1 = 100 * mean over classes

The mean is over the classes that occur in labels or predictions (macro average). A network with one output, the
probability of class 1, predicts class 1 above 0.5; its score is F1[1] alone.

Source: van Rijsbergen 1979, "Information Retrieval", chapter 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.evaluation.metric import Counted, Metric, Outputs, Targets
from intaglio.evaluation.metrics.whole_numbers import confusion_matrix

Array = NDArray[Any]


def f1_score() -> Metric:
    """Return the metric for outputs (N, classes), or probabilities of class 1, (N,) or (N, 1)."""
    return Metric("F1", Counted(_count, _finish), unit="%", labels="classes")


def _count(outputs: Outputs, targets: Targets) -> Array:
    scores = outputs[0].reshape(len(outputs[0]), -1)
    if scores.shape[1] > 1:
        counts = confusion_matrix("F1", targets, scores.argmax(axis=1), scores.shape[1])
        return np.concatenate([counts, np.zeros((1, len(counts)))])  # the last row says: all classes
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise DataError(
            f"F1: expected one output to be the probability of class 1, 0 to 1, got {scores.min():g} to "
            f"{scores.max():g}; end the network with a sigmoid, or give your own function"
        )
    counts = confusion_matrix("F1", targets, (scores[:, 0] > 0.5).astype(np.int64), 2)
    return np.concatenate([counts, np.ones((1, 2))])


def _finish(counts: Array) -> float:
    counts, only_last = counts[:-1], bool(counts[-1].any())
    hits = np.diag(counts)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    if only_last:
        hits, both = hits[1:], both[1:]
    seen = both > 0
    return float(100.0 * np.mean(2.0 * hits[seen] / both[seen])) if seen.any() else float("nan")
