"""Mean average precision of object detection (mAP), in percent, as COCO defines it; by pycocotools.

    mAP   = mean over classes and IoU thresholds 0.50, 0.55 ... 0.95 of the area under precision over recall
    mAP50 = the same at IoU 0.50 alone

At most 100 detections of each picture count.

Source: Lin et al. 2014, "Microsoft COCO: common objects in context", arXiv:1405.0312; its evaluation code.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data.extras import load_extra
from intaglio.errors import DataError
from intaglio.evaluation.metric import Collected, Metric, Outputs, Targets
from intaglio.evaluation.user_metric import called, identity

Array = NDArray[Any]
Boxes = tuple[Array, Array, Array]
"""Detections of a picture: boxes x1, y1, x2, y2, (K, 4); scores (K,); classes (K,)."""
Decode = Callable[[Any], Sequence[Boxes]]
MOST = 100
"""Detections of a picture that count."""


def mean_average_precision(decode: Decode | None = None, *, threshold: float | None = None) -> Metric:
    """Return mAP. Keeps all detections.

    Args:
        decode: from the outputs of a batch, an array or a tuple of arrays, to the detections of each of its pictures,
            after non-maximum suppression. None: outputs are detections already, in one of these forms, x1, y1, x2, y2
            in the unit of the labels; those with a score of 0 or less do not count:
            boxes (N, K, 4), scores (N, K), classes (N, K);
            boxes (N, K, 4), scores (N, K, classes);
            (N, K, 6): box, score, class.
        threshold: of intersection over union; None: the mean from 0.5 to 0.95.
    """
    name = "mAP" if threshold is None else f"mAP{round(100 * threshold)}"
    keep = partial(_keep, name, decode or partial(detections, name))
    made = Collected(partial(_finish, threshold), keep)
    return Metric(name, made, unit="%", identity="" if decode is None else identity(decode))


def detections(name: str, outputs: Any) -> list[Boxes]:
    """Split outputs in one of the usual forms into pictures; see `mean_average_precision`."""
    arrays = outputs if isinstance(outputs, tuple) else (outputs,)
    shapes = [y.shape for y in arrays]
    if len(arrays) == 1 and len(shapes[0]) == 3 and shapes[0][2] == 6:
        found = [(rows[:, :4], rows[:, 4], rows[:, 5]) for rows in arrays[0]]
    elif len(arrays) == 2 and shapes[0][2:] == (4,) and len(shapes[1]) == 3 and shapes[0][:2] == shapes[1][:2]:
        found = [_each_class(boxes, scores) for boxes, scores in zip(*arrays, strict=True)]
    elif len(arrays) >= 3 and shapes[0][2:] == (4,) and shapes[1] == shapes[2] == shapes[0][:2]:
        found = list(zip(*arrays[:3], strict=True))
    else:
        raise DataError(
            f"{name}: expected detections: boxes (N, K, 4), scores (N, K) and classes (N, K), or (N, K, 6), got "
            f"outputs of shape {', '.join(map(str, shapes))}; decode them in Python: "
            "metric=mean_average_precision(decode)"
        )
    return [(boxes[s > 0], s[s > 0], classes[s > 0]) for boxes, s, classes in found]


def _each_class(boxes: Array, scores: Array) -> Boxes:
    """Make a detection of each class of each box; only the best ones."""
    flat = scores.ravel()
    best = np.argsort(-flat, kind="stable")[:MOST]
    return boxes[best // scores.shape[1]], flat[best], best % scores.shape[1]


def _keep(
    name: str, decode: Decode, outputs: Outputs, targets: Targets
) -> tuple[list[Boxes], list[tuple[Array, Array]]]:
    pictures = called(name, decode, outputs=outputs[0] if len(outputs) == 1 else outputs)
    found = [_checked(name, boxes) for boxes in pictures]
    wanted = [_labelled(name, row) for row in targets]
    if len(found) != len(wanted):
        raise DataError(f"{name}: expected detections of each of {len(wanted)} pictures, got {len(found)}")
    return found, wanted


def _checked(name: str, found: Boxes) -> Boxes:
    boxes, scores, classes = (np.asarray(part, np.float64) for part in found)
    if boxes.size == 0:
        return np.zeros((0, 4)), np.zeros(0), np.zeros(0)
    if boxes.shape != (len(boxes), 4) or scores.shape != (len(boxes),) or classes.shape != (len(boxes),):
        got = ", ".join(str(part.shape) for part in (boxes, scores, classes))
        raise DataError(f"{name}: expected boxes (K, 4), scores (K,) and classes (K,) of a picture, got shapes {got}")
    return boxes, scores, classes


def _labelled(name: str, row: Any) -> tuple[Array, Array]:
    """Return boxes (K, 4) and classes (K,) from a dict of these, or from (K, 5), padded with negative classes."""
    if isinstance(row, Mapping):
        if not {"boxes", "labels"} <= set(row):
            raise DataError(f"{name}: expected labels with 'boxes' and 'labels', got {', '.join(map(str, row))}")
        boxes, classes = (np.asarray(row[key], np.float64) for key in ("boxes", "labels"))
        boxes = boxes.reshape(-1, 4)
    else:
        rows = np.asarray(row, np.float64)
        if rows.size and rows.shape[-1] != 5:
            raise DataError(
                f"{name}: expected labels of a picture as (K, 5): x1, y1, x2, y2, class, or a dict of boxes and "
                f"labels, got shape {rows.shape}"
            )
        rows = rows.reshape(-1, 5)
        boxes, classes = rows[:, :4], rows[:, 4]
    return boxes[classes >= 0], classes[classes >= 0]


def _finish(threshold: float | None, found: list[Boxes], wanted: list[tuple[Array, Array]]) -> float:
    coco = load_extra("pycocotools.coco", "pycocotools", "compute mAP", "metrics")
    cocoeval = load_extra("pycocotools.cocoeval", "pycocotools", "compute mAP", "metrics")
    labels = [
        {"image_id": i, "category_id": int(c), "bbox": _corner_and_size(box), "area": _area(box), "iscrowd": 0}
        for i, (boxes, classes) in enumerate(wanted)
        for box, c in zip(boxes, classes, strict=True)
    ]
    if not labels:
        return float("nan")
    guesses = [
        {"image_id": i, "category_id": int(c), "bbox": _corner_and_size(box), "score": float(score), "area": _area(box)}
        for i, (boxes, scores, classes) in enumerate(found)
        for box, score, c in zip(boxes, scores, classes, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
        evaluation = cocoeval.COCOeval(
            _indexed(coco, labels, len(wanted)), _indexed(coco, guesses, len(wanted)), "bbox"
        )
        evaluation.params.catIds = sorted({label["category_id"] for label in labels})
        if threshold is not None:
            evaluation.params.iouThrs = np.array([threshold])
        evaluation.evaluate()
        evaluation.accumulate()
    # precision: (IoU thresholds, recalls, classes, ranges of area, limits of detections); -1 where there is no label
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return float(100.0 * precision[precision > -1].mean())


def _indexed(coco: Any, rows: list[dict[str, Any]], pictures: int) -> Any:
    made = coco.COCO()
    made.dataset = {
        "images": [{"id": i} for i in range(pictures)],
        "categories": [{"id": c} for c in sorted({row["category_id"] for row in rows})],
        "annotations": [{**row, "id": i + 1} for i, row in enumerate(rows)],
    }
    made.createIndex()
    return made


def _corner_and_size(box: Array) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def _area(box: Array) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
