"""The figures of README are those of the pages that it cites."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
LINK = re.compile(r"\[(\d{4}-\d\d-\d\d)\]\(([\w/.-]+\.md)\)")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?: (?:ms|µs))?")


def cells(line: str) -> list[str]:
    return [cell.strip(" *") for cell in line.strip().strip("|").split("|")]


def cited_rows(text: str) -> list[tuple[list[str], str, str]]:
    """Cells, date and page of each table row that ends with a link to a dated page."""
    found = []
    for line in text.splitlines():
        link = LINK.search(line)
        if line.startswith("|") and link is not None:
            found.append((cells(line)[:-1], link[1], link[2]))
    return found


def page_figures(page: str) -> dict[str, set[str]]:
    """Name of a table row, or of the section above it -> the numbers in that row or in that section's tables."""
    figures: dict[str, set[str]] = {}
    heading = ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            row = cells(line)
            numbers = {n.replace(",", "") for cell in row for n in NUMBER.findall(cell)}
            for name in (row[0], heading):
                figures.setdefault(name, set()).update(numbers)
    return figures


def wrong_figures(readme: str) -> list[str]:
    wrong = []
    for row, date, name in cited_rows(readme):
        page = (ROOT / name).read_text(encoding="utf-8")
        figures = page_figures(page)
        names = set(NAMES.get(row[0], (row[0],)))
        known = set().union(*(found for title, found in figures.items() if names & {title, title.split(",")[0]}))
        known |= {
            n.replace(",", "")
            for line in PROSE.get(row[0], ())
            if line in " ".join(page.split())
            for n in NUMBER.findall(line)
        }
        if date not in page and date not in name:
            wrong.append(f"{row[0]}: {name} has no date {date}")
        for cell in row[1:]:
            wrong += [
                f"{row[0]}: {n} is not in {name}" for n in NUMBER.findall(cell) if n.replace(",", "") not in known
            ]
    return wrong


NAMES = {
    "MobileNetV2, CIFAR-10": ("cifar10/mobilenetv2.onnx",),
    "MobileNetV1 0.25, ImageNet": ("imagenet/mobilenet_v1_0.25_224.onnx",),
    "4-bit weights and activations": ("ResNet-20 w4a4",),
    "ternary weights, 8-bit activations": ("ResNet-20 ternary weights, 8-bit activations",),
    "binary weights, 8-bit activations": ("ResNet-20 binary weights, 8-bit activations",),
}
"""Name of a row in README -> its names in the cited page, where they differ."""
PROSE = {
    "ResNet-20, CIFAR-10": ("On all 10,000 float and the integer program of `cpu-int8` both get 88.29 % right",),
}
"""Name of a row in README -> sentences of the cited page with its figures."""


def test_every_figure_is_in_the_page_that_its_row_cites() -> None:
    readme = README.read_text(encoding="utf-8")
    assert len(cited_rows(readme)) >= 10
    assert wrong_figures(readme) == []


@pytest.mark.parametrize("row", range(len(cited_rows(README.read_text(encoding="utf-8")))))
def test_a_changed_figure_is_noticed(row: int) -> None:
    readme = README.read_text(encoding="utf-8")
    line = [line for line in readme.splitlines() if line.startswith("|") and LINK.search(line)][row]
    _, _, rest = line.split("|", 2)
    figure = NUMBER.findall(rest)[0]
    assert wrong_figures(readme.replace(line, line.replace(f"{figure} ", f"9{figure} ", 1)))


def test_how_many_networks_are_as_good_as_the_best_peer() -> None:
    page = (ROOT / "benchmarks/results/2026-11-21-accuracy.md").read_text(encoding="utf-8")
    table = page.split("## One scale per output channel")[1].split("\n## ")[0]
    good = [cells(line)[8] for line in table.splitlines() if line.startswith("| ") and ".onnx" in line]
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    expected = f"Of {words[len(good)]} networks at 8 bits per channel, {words[good.count('yes')]} are as good"
    assert expected in README.read_text(encoding="utf-8")


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 150_000
