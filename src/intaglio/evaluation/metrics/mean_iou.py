"""Mean intersection over union of a segmentation, in percent.

    mIoU = 100 * mean over classes c of  TP[c] / (TP[c] + FP[c] + FN[c])

TP, FP and FN count pixels of all pictures. The mean is over the classes that occur in the labels.

Source: Everingham et al. 2015, "The PASCAL visual object classes challenge: a retrospective", IJCV 111, section 2.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.evaluation.metric import Counted, Metric, Outputs, Targets
from intaglio.evaluation.metrics.whole_numbers import confusion_matrix, whole_numbers

Array = NDArray[Any]
IGNORED = 255
"""Label of pixels that are not counted; negative labels are not counted either."""
_MOST = 256  # classes of a network that returns class indices instead of scores


def mean_iou() -> Metric:
    """Return the metric for labels (N, H, W) and outputs (N, C, H, W), (N, H, W, C), or class indices (N, H, W)."""
    return Metric("mIoU", Counted(_count, _finish), unit="%")


def _count(outputs: Outputs, targets: Targets) -> Array:
    scores = outputs[0]
    if scores.ndim == 4 and scores.shape[1] == 1:
        scores = scores[:, 0]
    axis = 1
    if scores.ndim == 3:
        predicted, classes = np.rint(scores).astype(np.int64), _MOST
    else:
        shape = getattr(targets, "shape", None)
        axis = -1 if shape != (scores.shape[0], *scores.shape[2:]) and shape == scores.shape[:-1] else 1
        predicted, classes = scores.argmax(axis), scores.shape[axis]
    labels = whole_numbers("mIoU", targets, predicted.shape)
    if predicted.ndim != 3 or (predicted.size and not 0 <= predicted.min() <= predicted.max() < _MOST):
        raise DataError(
            f"mIoU: expected outputs (N, C, H, W), (N, H, W, C) or class indices (N, H, W), got shape {scores.shape}"
        )
    counted = (labels >= 0) & (labels != IGNORED)
    return confusion_matrix("mIoU", labels[counted], predicted[counted], classes)


def _finish(counts: Array) -> float:
    if counts.ndim != 2 or not counts.any():
        return float("nan")
    hits, labelled = np.diag(counts), counts.sum(axis=1)
    union = labelled + counts.sum(axis=0) - hits
    return float(100.0 * np.mean(hits[labelled > 0] / union[labelled > 0]))
