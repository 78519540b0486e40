"""Boxes around objects: tables for decoding and non-maximum suppression in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from intaglio.app.class_output import named_classes
from intaglio.app.pieces import Piece
from intaglio.codegen.text import array_text
from intaglio.data.postprocess import BoxOutput
from intaglio.errors import CompileError
from intaglio.program import Program, TensorInfo

LIMIT = (1 << 21) - 1  # coordinates, in units of 2**-(fraction + 1); `show_boxes.c`
LARGEST_GROWTH = 1 << 14  # of an anchor, so that it fits 31 bits with 16 fraction bits
MOST_BOXES = 1 << 20


@dataclass(frozen=True)
class BoxLayout:
    """Where coordinates and scores stand in the outputs.

    Args:
        boxes, scores: indices of the outputs.
        count, classes: number of boxes and classes.
        steps: box_step, part_step, score_start, score_step, class_step of `show_boxes.h`.
    """

    boxes: int
    scores: int
    count: int
    classes: int
    steps: tuple[int, int, int, int, int]


def box_output(program: Program, wanted: BoxOutput, names: tuple[str, ...] | None) -> Piece:
    """Make the piece that shows boxes.

    Args:
        program: the Program.
        wanted: how outputs stand for boxes, and which boxes to show.
        names: names of the classes; None: their numbers.
    Raises:
        CompileError: the outputs do not hold such boxes.
    """
    layout = find_layout(program, wanted)
    boxes, scores = (program.tensors[program.outputs[i]] for i in (layout.boxes, layout.scores))
    scale, zero_point = _grid(boxes)
    permille = score_permille(scores, wanted)
    tables, class_names = named_classes(names, layout.classes, scores.name)
    fraction = coordinate_fraction(boxes, wanted)
    if wanted.form == "anchors":
        tables += array_text(anchor_codes(wanted, layout.count, fraction), "box_anchors", 4)
        tables += array_text(anchor_growth(boxes, wanted), "box_growth", 4)
        factor = round(scale * Fraction(wanted.variances[0]) * (1 << 32))
    else:
        factor = round(scale * (1 << (fraction + 16)))
    tables += array_text(permille, "box_permille", 4)
    members = {
        "classes": layout.classes,
        "background": -1 if wanted.background is None else wanted.background,
        **dict(zip(("box_step", "part_step", "score_start", "score_step", "class_step"), layout.steps, strict=True)),
        "form": f"BOX_{wanted.form.upper()}",
        "y_first": int(wanted.order == "yx"),
        "factor": f"INT64_C({factor})",
        "zero_point": zero_point,
        "fraction": fraction,
        **({"anchors": "box_anchors", "growth": "box_growth"} if wanted.form == "anchors" else {}),
        "permille": "box_permille",
        "smallest_box_code": boxes.type.qmin,
        "smallest_score_code": scores.type.qmin,
        "least_code": least_code(scores, wanted),
        "overlap": round(wanted.iou * (1 << 16)),
        "decimals": 1 if fraction < 16 else 3,
        "names": class_names,
    }
    text = "".join(f"    .{name} = {value},\n" for name, value in members.items())
    return Piece(
        ("show_boxes",),
        f"    show_boxes(&boxes, code{layout.boxes}, code{layout.scores}, print);\n",
        f"{tables}static const struct box_settings boxes = {{\n{text}}};\n",
        {"APP_BOXES": layout.count, "APP_MOST_BOXES": min(wanted.most, layout.count)},
    )


def find_layout(program: Program, wanted: BoxOutput) -> BoxLayout:
    """Find coordinates and scores in the outputs.

    Raises:
        CompileError: names or shapes do not fit.
    """
    outputs = program.outputs
    if wanted.boxes is None and wanted.scores is None:
        return _one_output(program, wanted)
    for key, name in (("boxes", wanted.boxes), ("scores", wanted.scores)):
        if name not in outputs:
            raise CompileError(f"[postprocess] {key}: expected one of {', '.join(outputs)}, got {name or 'none'}")
    assert wanted.boxes is not None
    assert wanted.scores is not None
    shapes = [_matrix(program.tensors[name], wanted) for name in (wanted.boxes, wanted.scores)]
    (count, parts), (other, classes) = shapes
    if parts != 4 or count != other:
        raise CompileError(
            f"[postprocess] boxes, scores: expected N x 4 coordinates and N x classes scores, got {count} x {parts} "
            f"and {other} x {classes}; set transposed = true where boxes are the last axis"
        )
    steps = (1, count, 0, 1, count) if wanted.transposed else (4, 1, 0, classes, 1)
    return _checked(BoxLayout(outputs.index(wanted.boxes), outputs.index(wanted.scores), count, classes, steps), wanted)


def _one_output(program: Program, wanted: BoxOutput) -> BoxLayout:
    if len(program.outputs) != 1:
        raise CompileError(f"[postprocess] boxes, scores: expected two of {', '.join(program.outputs)}, got none")
    count, row = _matrix(program.tensors[program.outputs[0]], wanted)
    if row < 5:
        raise CompileError(
            f"output '{program.outputs[0]}': expected N x (4 coordinates + scores), got {count} x {row}; set "
            "transposed = true where boxes are the last axis"
        )
    steps = (1, count, 4 * count, 1, count) if wanted.transposed else (row, 1, 4, row, 1)
    return _checked(BoxLayout(0, 0, count, row - 4, steps), wanted)


def _checked(layout: BoxLayout, wanted: BoxOutput) -> BoxLayout:
    if layout.count > MOST_BOXES or layout.classes >= 1 << 15:
        raise CompileError(
            f"[postprocess] boxes: expected at most {MOST_BOXES} boxes and {(1 << 15) - 1} classes, got {layout.count} "
            f"and {layout.classes}"
        )
    if wanted.background is not None and wanted.background >= layout.classes:
        raise CompileError(
            f"[postprocess] background: expected a class below {layout.classes}, got {wanted.background}"
        )
    return layout


def _matrix(info: TensorInfo, wanted: BoxOutput) -> tuple[int, int]:
    """Return the number of boxes and of numbers for each."""
    long = [*([1, 1] if len(info.shape) < 2 else []), *info.shape]
    rest = math.prod(long[:-2])
    if rest != 1:
        raise CompileError(f"output '{info.name}': expected two axes other than 1 for boxes, got shape {info.shape}")
    return (long[-1], long[-2]) if wanted.transposed else (long[-2], long[-1])


def _grid(info: TensorInfo) -> tuple[Fraction, int]:
    if info.params is None or info.params.scale.size != 1 or info.type.bits > 16:
        raise CompileError(f"output '{info.name}': expected real numbers with one scale for boxes, got others")
    return Fraction(float(info.params.scale.reshape(-1)[0])), int(info.params.zero_point.reshape(-1)[0])


def coordinate_fraction(info: TensorInfo, wanted: BoxOutput) -> int:
    """Return how many fraction bits coordinates have: as many as fit 20 bits; with anchors 16."""
    if wanted.form == "anchors":
        return 16
    scale, zero_point = _grid(info)
    largest = scale * info.type.max_abs_offset(zero_point)
    fraction = 19
    while fraction and largest * (1 << fraction) > 1 << 19:
        fraction -= 1
    return fraction


def anchor_codes(wanted: BoxOutput, count: int, fraction: int) -> NDArray[np.int32]:
    """Return the anchors in units of 2**-fraction, (count, 4)."""
    anchors = np.array(wanted.anchors, np.float64).reshape(-1, 4)
    if len(anchors) != count:
        raise CompileError(f"[postprocess] anchors: expected one for each of {count} boxes, got {len(anchors)}")
    if np.abs(anchors).max() >= 16 or anchors[:, 2:].min() <= 0:
        raise CompileError("[postprocess] anchors: expected relative x, y, width and height, from 0 to 1, got others")
    return np.asarray(np.rint(anchors * (1 << fraction)).astype(np.int32))


def anchor_growth(info: TensorInfo, wanted: BoxOutput) -> NDArray[np.int32]:
    """Return exp(variance * real) of each code with 16 fraction bits."""
    growth = np.minimum(np.exp(_reals(info) * wanted.variances[1]), LARGEST_GROWTH)
    return np.asarray(np.rint(growth * (1 << 16)).astype(np.int32))


def score_permille(info: TensorInfo, wanted: BoxOutput) -> NDArray[np.int16]:
    """Return the score of each code in tenths of a per cent."""
    return np.asarray(np.rint(np.clip(_scores(info, wanted), -32, 32) * 1000).astype(np.int16))


def least_code(info: TensorInfo, wanted: BoxOutput) -> int:
    """Return the smallest code of a score that is shown."""
    return info.type.qmin + int((_scores(info, wanted) < wanted.threshold).sum())


def _scores(info: TensorInfo, wanted: BoxOutput) -> NDArray[np.float64]:
    real = _reals(info)
    return 1 / (1 + np.exp(-real)) if wanted.activation == "sigmoid" else real


def _reals(info: TensorInfo) -> NDArray[np.float64]:
    """Return the real value of each code."""
    scale, zero_point = _grid(info)
    if info.type.bits > 8:
        raise CompileError(
            f"output '{info.name}': expected codes of up to 8 bits for scores and anchors, got {info.type}"
        )
    return float(scale) * (np.arange(info.type.qmin, info.type.qmax + 1) - zero_point).astype(np.float64)
