"""The page in a real browser: no console errors, and sorting, filtering and links do what they say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import intaglio as ig
from intaglio.report import Facts, write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs a browser: Chromium is not installed")

# What is asked for is written to an attribute, where --dump-dom shows it.
ASK = """
const names = () => [...document.querySelectorAll("#values tbody tr")].filter((r) => !r.hidden)
    .map((r) => r.querySelector("th").firstChild.textContent);
const click = (key) => document.querySelector(`#values button[data-key="${key}"]`).click();
const marked = () => [...document.querySelectorAll("[aria-sort]")]
    .map((h) => [h.textContent, h.getAttribute("aria-sort")]);
const filter = document.getElementById("filter");
const type = (text) => { filter.value = text; filter.dispatchEvent(new Event("input")); };
const answers = {};
%s
document.documentElement.dataset.answers = JSON.stringify(answers);
"""


def browse(page: Path, folder: Path) -> tuple[str, list[str]]:
    """The page's elements once its script has run, and what it wrote to the console."""
    assert BROWSER is not None
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=1000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def ask(page: Path, questions: str, folder: Path) -> dict[str, Any]:
    """Run a script behind the page's own and return its `answers`."""
    script = ASK % questions
    allowed = "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8")
    assert text.count("script-src ") == 1
    text = text.replace("script-src ", f"script-src '{allowed}' ")
    text = text.replace("</body>", f"<script>{script}</script></body>")
    other = page.with_name("asked.html")
    other.write_text(text, encoding="utf-8")
    dom, console = browse(other, folder)
    assert console == []
    found = re.search(r'data-answers="([^"]*)"', dom)
    assert found is not None, "the script did not come to its end"
    answers: dict[str, Any] = json.loads(unescape(found[1]))
    return answers


@pytest.fixture
def page(quantized: ig.Quantized, full_facts: Facts, tmp_path: Path) -> Path:
    write_report(tmp_path / "report.html", quantized.graph, quantized.plan, full_facts)
    return tmp_path / "report.html"


def test_no_console_messages(page: Path, tmp_path: Path) -> None:
    dom, console = browse(page, tmp_path / "profile")
    assert console == []
    assert '<output id="shown" for="filter">10 values' in dom  # the script ran to its end


def test_without_facts_no_console_messages(quantized: ig.Quantized, tmp_path: Path) -> None:
    write_report(tmp_path / "bare.html", quantized.graph, quantized.plan, Facts())
    assert browse(tmp_path / "bare.html", tmp_path / "profile")[1] == []


def test_hostile_names_run_nothing(hostile: ig.Quantized, full_facts: Facts, tmp_path: Path) -> None:
    write_report(tmp_path / "hostile.html", hostile.graph, hostile.plan, full_facts)
    dom, console = browse(tmp_path / "hostile.html", tmp_path / "profile")
    assert console == []
    assert dom.count("<script") == 1


def test_the_policy_stops_what_is_not_ours(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", "<script>document.title = 'owned'</script></main>"), encoding="utf-8")
    dom, console = browse(page, tmp_path / "profile")
    assert "<title>owned" not in dom
    assert any("Content Security Policy" in line for line in console)


def test_sorting_filtering_and_links(page: Path, tmp_path: Path) -> None:
    answers = ask(
        page,
        """
        answers.network = names();
        click("name"); answers.name = names(); answers.ascending = marked();
        click("name"); answers.reversed = names(); answers.descending = marked();
        click("ratio"); answers.ratio = names();
        click("ratio"); answers.best = names();
        click("step"); answers.step = [...document.querySelectorAll('[data-key="step"][data-value]')]
            .map((c) => c.dataset.value);
        click("number"); type("GEMM head"); answers.filtered = names();
        answers.shown = document.getElementById("shown").textContent;
        type(""); answers.again = names();
        """,
        tmp_path / "profile",
    )
    strip = {key: [name.strip() for name in answers[key]] for key in answers if key not in ("ascending", "descending")}
    network = strip["network"]
    assert network == ["x", "conv.weight", "conv.bias", "c", "r", "p", "f", "head.weight", "head.bias", "y"]
    assert strip["name"] == sorted(network, key=str.casefold)
    assert strip["reversed"] == strip["name"][::-1]
    assert answers["ascending"] == [["Name", "ascending"]]
    assert answers["descending"] == [["Name", "descending"]]
    assert strip["ratio"][:5] == ["f", "r", "y", "x", "p"]  # no signal, 4.2, 38.5, 52.3, equal; then what has none
    assert strip["best"][:5] == ["p", "x", "y", "r", "f"]
    steps = [float(step) for step in answers["step"] if step]
    assert steps == sorted(steps)
    assert answers["step"][len(steps) :] == [""] * (len(network) - len(steps))
    assert strip["filtered"] == ["head.weight", "head.bias", "y"]
    assert answers["shown"] == "3 of 10"
    assert strip["again"] == network
