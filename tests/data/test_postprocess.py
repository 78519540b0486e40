"""The section [postprocess] of a descriptor: what outputs mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from intaglio.data.descriptor import read_descriptor
from intaglio.data.postprocess import BoxOutput, ClassOutput, NumberOutput
from intaglio.errors import DataError

CASES = {
    'kind = "numbers"': NumberOutput(),
    'kind = "classes"': ClassOutput(),
    'kind = "classes"\noutput = "y"\ntop = 7\nsoftmax = false': ClassOutput("y", 7, False),
    'kind = "boxes"': BoxOutput(),
    'kind = "boxes"\nboxes = "b"\nscores = "s"\nform = "anchors"\norder = "yx"\nanchors = "a.csv"\nbackground = 0': (
        BoxOutput("b", "s", "anchors", "yx", background=0, anchors=((0.5, 0.5, 0.1, 0.2), (0.25, 0.5, 1.0, 2.0)))
    ),
    'kind = "boxes"\ntransposed = true\nactivation = "sigmoid"\nthreshold = 0.2\niou = 0.6\nmost = 3': BoxOutput(
        transposed=True, activation="sigmoid", threshold=0.2, iou=0.6, most=3
    ),
}


def write(folder: Path, text: str) -> Path:
    path = folder / "data.toml"
    path.write_text(f'path = "x.npz"\n[postprocess]\n{text}\n')
    (folder / "a.csv").write_text("0.5,0.5,0.1,0.2\n0.25, 0.5, 1, 2\n\n")
    (folder / "three.csv").write_text("0.5,0.5,0.1,0.2\n0.5,0.5,0.1\n")
    (folder / "text.csv").write_text("x,y,w,h\n")
    (folder / "empty.csv").write_text("\n")
    return path


@pytest.mark.parametrize("text", CASES)
def test_sections(text: str, tmp_path: Path) -> None:
    assert read_descriptor(write(tmp_path, text)).postprocess == CASES[text]


BOXES = 'kind = "boxes"\n'
WRONG = {
    'kind = "box"': "postprocess.kind: expected 'classes', 'boxes' or 'numbers', got 'box'",
    'kind = "numbers"\ntop = 3': "postprocess.top: unknown key; known are kind",
    'kind = "classes"\ntop = 0': "postprocess.top: expected a number above 0, got 0",
    BOXES + 'form = "corner"': "postprocess.form: expected 'corners', 'center' or 'anchors', got 'corner'",
    BOXES + 'form = "anchors"': 'postprocess: form = "anchors" and anchors, the name of a file, are used together',
    BOXES + 'anchors = "a.csv"': 'postprocess: form = "anchors" and anchors, the name of a file, are used together',
    BOXES + "iou = 1.5": "postprocess.iou: expected a number of at most 1, got 1.5",
    BOXES
    + 'form = "anchors"\nanchors = "none.csv"': "none.csv: expected x,y,width,height in each line, got other text",
    BOXES + 'form = "anchors"\nanchors = "three.csv"': "expected x,y,width,height in each line, got '0.5,0.5,0.1'",
    BOXES
    + 'form = "anchors"\nanchors = "text.csv"': "text.csv: expected x,y,width,height in each line, got other text",
    BOXES + 'form = "anchors"\nanchors = "empty.csv"': "empty.csv: expected x,y,width,height in each line, got no line",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_sections(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_descriptor(write(tmp_path, text))
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)
