"""`main.c` decodes boxes and leaves out overlapping ones as NumPy does."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intaglio_tests.c_application import SANITIZE, build_application, identity_program, run_application
from numpy.typing import NDArray

from intaglio.app.box_output import box_output
from intaglio.app.pieces import SOURCES
from intaglio.codegen.buildfiles import WARNINGS
from intaglio.codegen.text import LONG_STRINGS, array_text
from intaglio.data import open_data
from intaglio.data.postprocess import BoxOutput
from intaglio.errors import CompileError
from intaglio.number import INT8, INT16, UINT8, QuantParams, Rule
from intaglio.program import Program, TensorInfo
from intaglio.program.sampling import grid

CLASSES = 5
ANCHORS = tuple((x / 8, y / 6, w, w * 1.5) for x in range(1, 8) for y in range(1, 6) for w in (0.1, 0.3))
CASES = {
    "corners": (BoxOutput("b", "s", threshold=0.3, iou=0.4), grid(UINT8, 0.005), grid(UINT8, 1 / 256)),
    "corners in pixels": (BoxOutput("b", "s", order="yx", most=7), grid(INT8, 2.5, -128), grid(UINT8, 1 / 256)),
    "center, logits": (
        BoxOutput("b", "s", "center", transposed=True, activation="sigmoid", iou=0.3, most=50),
        grid(UINT8, 1 / 255),
        grid(INT8, 0.07, 10),
    ),
    "16 bits": (BoxOutput("b", "s", "center", order="yx", threshold=0.7), grid(INT16, 1 / 30000), grid(INT8, 1 / 127)),
    "anchors": (
        BoxOutput("b", "s", "anchors", "yx", background=0, anchors=ANCHORS, threshold=0.35, iou=0.45, most=50),
        grid(INT8, 0.15, 3),
        grid(UINT8, 1 / 256),
    ),
}


DRIVER = """#include "show_boxes.h"
#include <stdio.h>
{tables}
{codes}
static int32_t sample;
static int32_t code0(int32_t at) {{ return boxes_codes[sample * {count} * 4 + at]; }}
static int32_t code1(int32_t at) {{ return scores_codes[sample * {count} * {classes} + at]; }}
static void print(const char *text) {{ fputs(text, stdout); }}
int main(void)
{{
    for (sample = 0; sample < {samples}; sample++) {{
        {body}        print("end\\n");
    }}
    return 0;
}}
"""


def outputs(wanted: BoxOutput, count: int, boxes: QuantParams, scores: QuantParams) -> Program:
    """The outputs of a Program, without the rest of it."""
    shapes = {"b": (1, count, 4), "s": (1, count, CLASSES)}
    if wanted.transposed:
        shapes = {name: (1, shape[2], shape[1]) for name, shape in shapes.items()}
    infos = {n: TensorInfo(n, shapes[n], p.type, p) for n, p in (("b", boxes), ("s", scores))}
    return Program([], infos, {}, (), ("b", "s"), Rule.HALF_UP, "test")


def show(
    wanted: BoxOutput, boxes: NDArray[Any], scores: NDArray[Any], p: QuantParams, q: QuantParams, folder: Path
) -> list[list[str]]:
    """Run `show_boxes.c`, with the compiler's sanitizers: the lines of each sample."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    count = boxes.shape[1]
    piece = box_output(outputs(wanted, count, p, q), wanted, None)
    macros = "".join(f"#define {name} {value}\n" for name, value in piece.macros.items())
    (folder / "app_settings.h").write_text(f'#include "app_text.h"\n{macros}')
    boxes, scores = (x.transpose(0, 2, 1) if wanted.transposed else x for x in (boxes, scores))
    codes = array_text(boxes, "boxes_codes", 4) + array_text(scores, "scores_codes", 4)
    samples = len(boxes)
    text = DRIVER.format(
        tables=piece.tables, codes=codes, count=count, classes=CLASSES, samples=samples, body=piece.body.strip() + "\n"
    )
    (folder / "main.c").write_text(LONG_STRINGS + text)
    sources = [SOURCES / "show_boxes.c", SOURCES / "app_text.c"]
    command = ["gcc", "-std=c11", *WARNINGS, *SANITIZE, "-I.", f"-I{SOURCES}", "main.c", *sources, "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run([folder / "main"], capture_output=True, text=True, check=True)
    answers: list[list[str]] = [[]]
    for line in done.stdout.splitlines():
        if line == "end":
            answers.append([])
        else:
            answers[-1].append(line)
    return answers[:-1]


def reference(
    boxes: NDArray[Any], scores: NDArray[Any], p: QuantParams, q: QuantParams, wanted: BoxOutput
) -> list[tuple[int, int, NDArray[np.float64]]]:
    """(box, class, corners) of the boxes that are shown: in float64, box by box."""
    real = float(q.scale) * (scores.astype(np.float64) - int(q.zero_point))
    score = 1 / (1 + np.exp(-real)) if wanted.activation == "sigmoid" else real
    parts = float(p.scale) * (boxes.astype(np.float64) - int(p.zero_point))
    if wanted.order == "yx":
        parts = parts[:, [1, 0, 3, 2]]
    centre, size = parts[:, :2], parts[:, 2:]
    if wanted.form == "anchors":
        anchors = np.array(wanted.anchors)
        centre = anchors[:, :2] + wanted.variances[0] * centre * anchors[:, 2:]
        size = anchors[:, 2:] * np.exp(wanted.variances[1] * size)
    corners = parts if wanted.form == "corners" else np.concatenate([centre - size / 2, centre + size / 2], 1)
    found = []
    for i in range(len(boxes)):
        allowed = [k for k in range(CLASSES) if k != wanted.background]
        best = max(allowed, key=lambda k: (scores[i, k], -k))
        if score[i, best] >= wanted.threshold:
            found.append((-int(scores[i, best]), i, best))
    kept: list[tuple[int, int, NDArray[np.float64]]] = []
    for _, i, k in sorted(found):
        if len(kept) < wanted.most and all(k != c or overlap(corners[i], other) <= wanted.iou for _, c, other in kept):
            kept.append((i, k, corners[i]))
    return kept


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    both = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    either = np.prod(np.clip(a[2:] - a[:2], 0, None)) + np.prod(np.clip(b[2:] - b[:2], 0, None)) - both
    return float(both / either) if either else 0.0


def random_codes(name: str, samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Clusters of boxes, whose scores are often equal."""
    wanted, p, q = CASES[name]
    rng = np.random.default_rng(len(name))
    count = len(ANCHORS)
    centre, size = rng.uniform(0.1, 0.9, (samples, count, 2)), rng.uniform(0.05, 0.6, (samples, count, 2))
    centre = np.round(centre * 3) / 3 + rng.normal(size=centre.shape) * 0.03
    size = np.round(size * 3 + 0.5) / 4 + rng.normal(size=size.shape) * 0.02
    parts = np.concatenate([centre, size], 2)
    if wanted.form == "corners":
        parts = np.concatenate([centre - size / 2, centre + size / 2], 2)
    if wanted.form == "anchors":
        parts = rng.normal(size=parts.shape) * 2
    low, high = (float(end) for end in p.range)
    if name == "corners in pixels":
        parts = parts * high
    boxes = p.quantize(parts.clip(low, high).astype(np.float32))
    scores = rng.integers(q.type.qmin, q.type.qmax + 1, (samples, count, CLASSES)) // 5 * 5
    return boxes, scores.clip(q.type.qmin, q.type.qmax).astype(q.type.dtype)


@pytest.mark.parametrize("name", CASES)
def test_the_boxes_are_those_of_numpy(name: str, tmp_path: Path) -> None:
    wanted, p, q = CASES[name]
    boxes, scores = random_codes(name, 12)
    compared = 0
    for b, s, lines in zip(boxes, scores, show(wanted, boxes, scores, p, q, tmp_path), strict=True):
        want = reference(b, s, p, q, wanted)
        compared += len(want)
        assert len(lines) == len(want)
        for line, (i, k, corners) in zip(lines, want, strict=True):
            percent, numbers, name_of_class = re.fullmatch(r" *([\d.]+) %((?: +[-\d.]+){4})  (.+)", line).groups()
            assert name_of_class == f"class {k}"
            decimals = len(numbers.split()[0].split(".")[1])
            got = np.array(numbers.split(), np.float64)
            np.testing.assert_allclose(got, corners, rtol=0, atol=0.5 * 10.0**-decimals + float(p.scale) * 2e-3 + 2e-5)
            real = float(q.scale) * (int(s[i, k]) - int(q.zero_point))
            score = 1 / (1 + np.exp(-real)) if wanted.activation == "sigmoid" else real
            assert abs(float(percent) - 100 * score) <= 0.0501
    assert compared > 30


def test_nothing_is_found(tmp_path: Path) -> None:
    wanted, p, q = CASES["corners"]
    boxes, scores = random_codes("corners", 2)
    assert show(replace(wanted, threshold=1.5), boxes, scores, p, q, tmp_path) == [["  nothing found"]] * 2


def test_equal_scores_and_equal_boxes(tmp_path: Path) -> None:
    """Of equal scores the first class and the first box; equal boxes of two classes are both kept."""
    wanted = BoxOutput("b", "s", threshold=0.5)
    p, q = grid(UINT8, 1 / 128), grid(UINT8, 1 / 256)
    boxes = np.array([[[0, 0, 64, 64], [0, 0, 64, 64], [0, 0, 64, 64], [64, 64, 128, 128], [9, 9, 9, 9]]], np.uint8)
    scores = np.zeros((1, 5, CLASSES), np.uint8)
    scores[0, 0, [1, 2]] = 200
    scores[0, 1, 1] = 200
    scores[0, 2, 3] = 210
    scores[0, 3, 1] = 200
    scores[0, 4, 1] = 128
    assert show(wanted, boxes, scores, p, q, tmp_path) == [
        [
            "   82.0 %    0.000    0.000    0.500    0.500  class 3",
            "   78.1 %    0.000    0.000    0.500    0.500  class 1",
            "   78.1 %    0.500    0.500    1.000    1.000  class 1",
            "   50.0 %    0.070    0.070    0.070    0.070  class 1",
        ]
    ]


def test_a_file_to_boxes(tmp_path: Path) -> None:
    """One output with coordinates and scores, through the whole application."""
    p = grid(UINT8, 1 / 256)
    x = np.zeros((1, 6, 4 + 2), np.float32)
    x[0, 0] = [0.25, 0.25, 0.5, 0.75, 0.9, 0.1]
    x[0, 5] = [0.25, 0.25, 0.5, 0.75, 0.75, 0.8]
    data = open_data(x)
    data.source.class_names = ("cat", "dog")
    main = build_application(identity_program((1, 6, 6), p), data, tmp_path, BoxOutput(), SANITIZE)
    status, out, err = run_application(main, "example.csv")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "example.csv",
        "   89.8 %    0.250    0.250    0.500    0.750  cat",
        "   80.1 %    0.250    0.250    0.500    0.750  dog",
    ]


WRONG = {
    "names": (BoxOutput("b", "z"), {}, "[postprocess] scores: expected one of b, s, got z"),
    "one name": (BoxOutput("b"), {}, "[postprocess] scores: expected one of b, s, got none"),
    "no names": (BoxOutput(), {}, "[postprocess] boxes, scores: expected two of b, s, got none"),
    "shapes": (BoxOutput("s", "b"), {}, "expected N x 4 coordinates and N x classes scores, got 70 x 5 and 70 x 4"),
    "transposed": (BoxOutput("b", "s", transposed=True), {}, "got 4 x 70 and 5 x 70; set transposed = true"),
    "background": (BoxOutput("b", "s", background=5), {}, "[postprocess] background: expected a class below 5, got 5"),
    "anchors": (BoxOutput("b", "s", "anchors", anchors=ANCHORS[:9]), {}, "expected one for each of 70 boxes, got 9"),
    "bits": (
        BoxOutput("b", "s"),
        {"s": grid(INT16, 0.1)},
        "expected codes of up to 8 bits for scores and anchors, got int16",
    ),
    "class names": (BoxOutput("b", "s"), {"names": ("a",)}, "expected 5 class names, got 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_outputs_that_hold_no_such_boxes(case: str) -> None:
    wanted, other, message = WRONG[case]
    shape = replace(wanted, transposed=False)
    program = outputs(shape, len(ANCHORS), grid(UINT8, 0.01), other.get("s", grid(UINT8, 0.01)))
    with pytest.raises(CompileError) as caught:
        box_output(program, wanted, other.get("names"))
    assert message in str(caught.value)
