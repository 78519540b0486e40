"""Metrics of the order of outputs: area under the ROC curve, and Spearman's rank correlation.

    AUC  = 100 * P( score of a sample of the class > score of another sample ), ties count half
    rho  = correlation of the ranks of outputs and targets

Sources: Hanley and McNeil 1982, Radiology 143 (1), for AUC; Hand and Till 2001, Machine Learning 45, for its mean over
classes, here of each class against the rest; Spearman 1904, American Journal of Psychology 15 (1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data.extras import load_extra
from intaglio.errors import DataError
from intaglio.evaluation.metric import Collected, Metric, Outputs, Targets

Array = NDArray[Any]


def area_under_curve() -> Metric:
    """Return AUC in percent, by scikit-learn. Keeps all outputs.

    Outputs are scores of class 1, (N,) or (N, 1); or (N, classes), where with more than two classes it is the mean over
    the classes that occur, each against the rest.
    """

    def keep(outputs: Outputs, targets: Targets) -> tuple[Array, Array]:
        return outputs[0].reshape(len(outputs[0]), -1), targets

    return Metric("AUC", Collected(_auc, keep), unit="%", labels="classes", chance=lambda classes: 50.0)


def _auc(scores: Array, labels: Array) -> float:
    metrics = load_extra("sklearn.metrics", "scikit-learn", "compute AUC", "metrics")
    if scores.shape[1] <= 2:
        columns = [(1, scores[:, -1].astype(np.float64) - (scores[:, 0] if scores.shape[1] == 2 else 0.0))]
    else:
        columns = [(int(c), scores[:, c]) for c in np.unique(labels[labels < scores.shape[1]])]
    classes = max(scores.shape[1], 2)
    if int(labels.max()) >= classes:
        raise DataError(f"AUC: expected labels below {classes} (the model's output), got {int(labels.max())}")
    if not np.isfinite(scores).all():
        return float("nan")
    if len(np.unique(labels)) < 2:
        raise DataError(f"AUC: expected labels of at least two classes, got only class {int(labels[0])}")
    return float(100.0 * np.mean([metrics.roc_auc_score(labels == c, score) for c, score in columns]))


def spearman() -> Metric:
    """Return Spearman's rank correlation, -1 to 1, by SciPy; of several outputs their mean. Keeps all outputs."""

    def keep(outputs: Outputs, targets: Targets) -> tuple[Array, Array]:
        y = outputs[0].reshape(len(outputs[0]), -1)
        if targets.size != y.size:
            raise DataError(f"targets: expected shape {outputs[0].shape} (the model's output), got {targets.shape}")
        return y, targets.reshape(y.shape)

    return Metric("spearman", Collected(_spearman, keep), labels="numbers")


def _spearman(y: Array, targets: Array) -> float:
    stats = load_extra("scipy.stats", "SciPy", "compute Spearman's correlation", "metrics")
    both = np.isfinite(y).all() and np.isfinite(targets).all()
    if not both or any(np.ptp(column) == 0 for array in (y, targets) for column in array.T):
        return float("nan")  # constant values have no order
    found = [stats.spearmanr(a, b).statistic for a, b in zip(y.T, targets.T, strict=True)]
    return float(np.mean(found))
