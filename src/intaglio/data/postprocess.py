"""What the outputs of a model mean to people, as a data descriptor says it under [postprocess]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ClassOutput:
    """One score per class.

    Attributes:
        output: name of the output; None: the only one.
        top: number of classes to show.
        softmax: whether scores are shown as the softmax of the output; None: unless the model ends with a softmax.
    """

    output: str | None = None
    top: int = 3
    softmax: bool | None = None


@dataclass(frozen=True)
class NumberOutput:
    """Real numbers without further meaning."""


@dataclass(frozen=True)
class BoxOutput:
    """Boxes around objects: four numbers and one score per class for each of N boxes.

    Attributes:
        boxes, scores: names of the outputs N x 4 and N x classes; None: the only output is N x (4 + classes).
        form: "corners": x1, y1, x2, y2; "center": centre x, y, width, height; "anchors": dx, dy, dw, dh of
            x = anchor_x + variances[0] * dx * anchor_width, width = anchor_width * exp(variances[1] * dw), and so on
            (Liu et al. 2016, arXiv:1512.02325).
        order: "xy", or "yx" where y stands before x and height before width.
        transposed: whether boxes are the last axis: 4 x N, classes x N, or (4 + classes) x N.
        activation: "sigmoid" where scores are logits.
        background: class that is no object.
        anchors: centre x, y, width, height of each, relative to the picture.
        threshold: least score.
        iou: largest intersection over union of two boxes of one class; the one with the smaller score is left out.
        most: number of boxes to show.
    """

    boxes: str | None = None
    scores: str | None = None
    form: Literal["corners", "center", "anchors"] = "corners"
    order: Literal["xy", "yx"] = "xy"
    transposed: bool = False
    activation: Literal["none", "sigmoid"] = "none"
    background: int | None = None
    anchors: tuple[tuple[float, ...], ...] | None = None
    variances: tuple[float, float] = (0.1, 0.2)
    threshold: float = 0.5
    iou: float = 0.5
    most: int = 20


Postprocess = ClassOutput | NumberOutput | BoxOutput
