"""The page: whole with much or little known, and nothing but text where a model's names are."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import intaglio as ig
from intaglio.errors import ExportError
from intaglio.plan import place
from intaglio.report import Facts, write_report
from intaglio.report.page import render_report
from intaglio.targets import load_target

VOID = {"meta", "br", "input", "link", "img"}


class Page(HTMLParser):
    """Reads a page and insists that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data

    def count(self, tag: str, **attributes: str) -> int:
        return sum(t == tag and attributes.items() <= a.items() for t, a in self.tags)


def page(q: ig.Quantized, facts: Facts) -> Page:
    return Page(render_report(q.graph, q.plan, facts))


def test_a_page_shows_all_given_facts(quantized: ig.Quantized, full_facts: Facts) -> None:
    full = page(quantized, full_facts)
    for text in (
        "88.19 %", "−0.10 points against float", "10,000 samples", "99.91 %", "1.1 KB", "3.7 times", "75 s",
        "537 MB", "cpu-int8: for tests", "calibrated with max", "no operator stays float", "no signal",
        "5 predictions of 40 differ between the float network and the integer program", "Only float right: 4.",
        "prepared in 1 step", "multiply-accumulates",
        "81,000", "12.3 µs for one sample", "a processor, 2 threads", "Energy of one run, estimated", "Held in",
    ):  # fmt: skip
        assert text in full.text, text
    assert full.count("svg") == 2  # the noise, and the memory
    assert full.count("img") == 1
    assert full.count("div", **{"class": "canvas"}) == 9
    assert full.count("tr", id="v1") == 1
    assert sum(str(a.get("id")).startswith("v") and t == "tr" for t, a in full.tags) == len(quantized.plan.values)
    assert all(value.why in full.text for value in quantized.plan.values.values())


def test_a_page_without_facts_shows_the_plan(quantized: ig.Quantized) -> None:
    bare = page(quantized, Facts())
    assert "because nothing was measured" in bare.text
    assert bare.count("svg") == 0
    assert not re.search("SQNR|History|Gates|None|nan", bare.text)
    assert "conv.weight" in bare.text


def test_before_calibration_there_are_reasons_but_no_numbers(quantized: ig.Quantized) -> None:
    plan = place(quantized.graph, load_target("power2-int8"))
    early = Page(render_report(quantized.graph, plan, Facts()))
    assert "int8 power of two per tensor" in early.text
    assert "None" not in early.text


def test_a_page_renders_with_each_fact_alone(quantized: ig.Quantized, full_facts: Facts) -> None:
    for field in dataclasses.fields(Facts):
        one = page(quantized, Facts(**{field.name: getattr(full_facts, field.name)}))
        assert "None" not in one.text, field.name


def test_a_failed_gate_is_the_first_thing_said(quantized: ig.Quantized, full_facts: Facts) -> None:
    failed = page(quantized, full_facts)
    assert failed.text.split("✗")[1].strip().startswith("Gate failed: layer SQNR (worst layer r: 4.2 dB)")
    assert failed.text.index("Gate failed") < failed.text.index("88.19")
    passed = page(quantized, dataclasses.replace(full_facts, gates=full_facts.gates[:1]))
    assert "All gates passed: finite." in passed.text


def test_names_from_a_model_are_only_text(hostile: ig.Quantized, hostile_facts: Facts) -> None:
    facts = dataclasses.replace(hostile_facts, target="<b>t</b>")
    text = render_report(hostile.graph, hostile.plan, facts)
    read = Page(text)
    assert read.count("script") == 4
    assert read.count("script", type="application/json") == read.count("script", type="text/plain") == 1
    assert read.count("img") == 1
    assert read.count("b") == text.count("<b>") == len(facts.gates)
    assert not any("onerror" in attributes for _, attributes in read.tags)
    assert "</script><script>alert(1)</script>" in read.text  # as text, to be read
    assert "\x1b" not in text
    escaped = text.count("&gt;alert(1)&lt;") + text.count("\\u003ealert(1)\\u003c")  # in the page, and in its data
    assert text.count("alert(1)") == escaped


def test_nothing_is_loaded_from_anywhere(quantized: ig.Quantized, full_facts: Facts) -> None:
    full = page(quantized, full_facts)
    for tag, attributes in full.tags:
        assert tag not in ("link", "iframe", "object", "base", "form"), tag
        assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/"), attributes
        assert str(attributes.get("href", "#")).startswith("#")
    assert "url(" not in render_report(quantized.graph, quantized.plan, full_facts)
    policy = next(a["content"] for t, a in full.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy.partition("script-src")[2]


def test_links_lead_to_rows(quantized: ig.Quantized, full_facts: Facts) -> None:
    full = page(quantized, full_facts)
    ids = {a["id"] for _, a in full.tags if "id" in a}
    links = {str(a["href"])[1:] for t, a in full.tags if t == "a" and "href" in a}
    assert links
    assert links <= ids


def test_every_cell_that_sorts_has_a_heading(quantized: ig.Quantized, full_facts: Facts) -> None:
    full = page(quantized, full_facts)
    heads = [a["data-key"] for t, a in full.tags if t == "button" and "data-key" in a]
    cells = [a["data-key"] for t, a in full.tags if t in ("td", "th") and "data-key" in a]
    assert cells == heads * len(quantized.plan.values)
    options = [a["value"] for t, a in full.tags if t == "option"]
    assert options == heads


def test_a_weak_layer_is_marked_not_only_coloured(quantized: ig.Quantized, full_facts: Facts) -> None:
    assert "▼ 4.2" in page(quantized, full_facts).text


def test_the_page_reports_a_missing_plotting_library(
    quantized: ig.Quantized, full_facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intaglio.report.page.plotting_library", lambda: None)
    bare = page(quantized, full_facts)
    assert "No plot: the Python package plotly was not installed" in bare.text
    assert bare.count("script") == 1
    assert bare.count("svg") == 2  # what needs no library is drawn


def test_float_operators_are_listed_with_reasons(quantized: ig.Quantized) -> None:
    plan = quantized.plan.copy()
    plan.operators["pool"].integer = False
    plan.operators["pool"].why = "asked for by the user"
    text = Page(render_report(quantized.graph, plan, Facts())).text
    assert "1 operator stays float" in text
    assert "GlobalAveragePool pool: asked for by the user" in text


def test_the_file_appears_whole_or_not_at_all(
    quantized: ig.Quantized, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    write_report(path, quantized.graph, quantized.plan, Facts())
    assert path.read_text(encoding="utf-8").endswith("</html>")
    assert list(tmp_path.iterdir()) == [path]
    before = path.read_bytes()

    def full_disk(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(ExportError, match="report.html: expected to write the report here, got: No space left"):
        write_report(path, quantized.graph, quantized.plan, Facts())
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


@pytest.mark.parametrize("place_", ["missing/report.html", "file/report.html"])
def test_a_path_that_cannot_be_written_is_an_error(quantized: ig.Quantized, tmp_path: Path, place_: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ExportError, match="expected to write the report here, got: "):
        write_report(tmp_path / place_, quantized.graph, quantized.plan, Facts())


def test_the_quantized_network_reports_itself(quantized: ig.Quantized, tmp_path: Path) -> None:
    quantized.report(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "History" in text
