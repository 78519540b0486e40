"""The figures of README are those of the pages that it cites, in the row and the column that it says."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
LINK = re.compile(r"\[(\d{4}-\d\d-\d\d)\]\(([\w/.-]+\.md)\)$")
Row = dict[str, str]

NAMES = {
    "MobileNetV2, CIFAR-10": "cifar10/mobilenetv2.onnx",
    "MobileNetV1 0.25, ImageNet": "imagenet/mobilenet_v1_0.25_224.onnx",
    "4-bit weights and activations": "ResNet-20 w4a4",
    "ternary weights, 8-bit activations": "ResNet-20 ternary weights, 8-bit activations",
    "binary weights, 8-bit activations": "ResNet-20 binary weights, 8-bit activations",
}
"""Name of a row in README -> its name in the cited page, where they differ."""
PROSE = {
    "ResNet-20, CIFAR-10": "On all {test images} float and the integer program of `cpu-int8` both get {float} % right",
}
"""Name of a row in README -> sentence of the cited page with its figures, where they are in no table."""
COLUMNS = {"test images": "samples", "integer program": "integer"}
ENGINES = {
    "Intaglio": "intaglio int8",
    "ONNX Runtime": "onnxruntime int8",
    "OpenVINO": "openvino int8",
    "LiteRT": "litert int8",
}


def tables(page: str) -> list[Row]:
    """Return the rows of all tables: column -> cell, `heading` is the section."""
    rows: list[Row] = []
    heading, columns = "", []
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip(" *") for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if not columns:
            columns = cells
        elif not set(line) <= set("|-: "):
            rows.append({"heading": heading, "first": cells[0], **dict(zip(columns, cells, strict=True))})
    return rows


def cited_rows(readme: str) -> list[Row]:
    return [row for row in tables(readme) if LINK.search(row.get("page", ""))]


def is_in(page: str, row: Row, column: str) -> bool:
    """Return whether a page has the figure of a row in README, for the same network, engine, ends and one thread."""
    value = row[column].replace(",", "")
    sentence = PROSE.get(row["first"])
    if sentence is not None:
        same = row["float"] == row["integer program"]
        return same and sentence.format(**row) in " ".join(page.split())
    wanted = {"machine": "cortex-m4", "threads": "1", "ends": row.get("inputs, outputs", "")}
    for found in tables(page):
        if NAMES.get(row["first"], row["first"]) not in (found["first"], found["heading"]):
            continue
        if any(found.get(key, state) != state for key, state in wanted.items()):
            continue
        engine = ENGINES.get(column, "")
        place = "median" if found.get("engine") == engine else engine or COLUMNS.get(column, column)
        if found.get(place, "").replace(",", "") == value:
            return True
    return False


def wrong_figures(readme: str) -> list[str]:
    wrong = []
    for row in cited_rows(readme):
        link = LINK.search(row["page"])
        assert link is not None
        page = (ROOT / link[2]).read_text(encoding="utf-8")
        if link[1] not in page and link[1] not in link[2]:
            wrong.append(f"{row['first']}: {link[2]} has no date {link[1]}")
        absent = [column for column in figures_of(row) if not is_in(page, row, column)]
        wrong += [f"{row['first']}, {column}: {row[column]} is not in {link[2]}" for column in absent]
    return wrong


def figures_of(row: Row) -> list[str]:
    """Return the columns that hold figures."""
    return [
        c for c in row if c not in ("heading", "first", "page", "inputs, outputs") and row[c] not in ("", row["first"])
    ]


def test_every_figure_is_in_the_page_that_its_row_cites() -> None:
    readme = README.read_text(encoding="utf-8")
    assert sum(len(figures_of(row)) for row in cited_rows(readme)) >= 30
    assert wrong_figures(readme) == []


@pytest.mark.parametrize("row", cited_rows(README.read_text(encoding="utf-8")), ids=lambda row: row["first"])
def test_a_changed_figure_is_noticed(row: Row) -> None:
    link = LINK.search(row["page"])
    assert link is not None
    page = (ROOT / link[2]).read_text(encoding="utf-8")
    for column in figures_of(row):
        assert is_in(page, row, column)
        assert not is_in(page, {**row, column: f"9{row[column]}"}, column)
    others = [column for column in figures_of(row) if column in ENGINES]
    for one, other in pairwise(others):  # a figure of another engine is wrong too
        assert row[one] != row[other]
        assert not is_in(page, {**row, one: row[other]}, one)


def test_how_many_networks_are_as_good_as_the_best_peer() -> None:
    page = (ROOT / "benchmarks/results/2026-11-21-accuracy.md").read_text(encoding="utf-8")
    good = [row["as good"] for row in tables(page) if row["heading"].startswith("One scale per output channel")]
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    expected = f"Of {words[len(good)]} networks at 8 bits per channel, {words[good.count('yes')]} are as good"
    assert expected in README.read_text(encoding="utf-8")


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 150_000
