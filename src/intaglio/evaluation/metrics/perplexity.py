"""Perplexity of a language model.

    perplexity = exp( - mean over tokens of ln p(token) ),    p = softmax(scores)

Lower is better. Tokens with a negative label, such as PyTorch's -100, are not counted.

Source: Jelinek et al. 1977, "Perplexity - a measure of the difficulty of speech recognition tasks", JASA 62 (S1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.evaluation.metric import Counted, Metric, Outputs, Targets
from intaglio.evaluation.metrics.whole_numbers import whole_numbers

Array = NDArray[Any]


def perplexity() -> Metric:
    """Return the metric for tokens (N, ...) and scores before softmax, (N, ..., vocabulary) or (N, vocabulary, T)."""
    return Metric("perplexity", Counted(_count, _finish), higher_is_better=False)


def _count(outputs: Outputs, targets: Targets) -> Array:
    scores = outputs[0].astype(np.float64)
    shape = getattr(targets, "shape", None)
    if scores.ndim == 3 and shape == (scores.shape[0], scores.shape[2]) != scores.shape[:2]:
        scores = scores.transpose(0, 2, 1)
    labels = whole_numbers("perplexity", targets, scores.shape[:-1])
    scores, labels = scores.reshape(-1, scores.shape[-1]), labels.ravel()
    scores, labels = scores[labels >= 0], labels[labels >= 0]
    if labels.size and int(labels.max()) >= scores.shape[1]:
        raise DataError(
            f"perplexity: expected tokens below {scores.shape[1]} (the model's output), got {int(labels.max())}"
        )
    if len(scores) > 1 and scores.min() >= 0 and np.abs(scores.sum(axis=1) - 1).max() < 0.02:
        raise DataError(
            "perplexity: expected scores before softmax, got probabilities, whose sum is 1; leave out the network's "
            "last softmax, or give your own function"
        )
    top = scores.max(axis=1, initial=-np.inf, keepdims=True)
    with np.errstate(invalid="ignore"):  # infinite scores make it NaN
        normalizers = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
        return np.array([(normalizers - scores[np.arange(len(labels)), labels]).sum(), len(labels)])


def _finish(sums: Array) -> float:
    if sums.ndim == 0 or sums[1] == 0:
        return float("nan")
    with np.errstate(over="ignore"):
        return float(np.exp(sums[0] / sums[1]))
