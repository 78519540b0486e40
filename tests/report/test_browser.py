"""The page in a real browser: no console messages, nothing fetched, and plots, sorting, filtering and links work."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any

import pytest

import intaglio as ig
from intaglio.calibrate import CALIBRATORS
from intaglio.report import Facts, write_report

# What questions are asked with.
TOOLS = """
const names = () => [...document.querySelectorAll("#values tbody tr")].filter((r) => !r.hidden)
    .map((r) => r.querySelector("th").firstChild.textContent.trim());
const click = (key) => document.querySelector(`#values button[data-key="${key}"]`).click();
const marked = () => [...document.querySelectorAll("[aria-sort]")]
    .map((h) => [h.textContent, h.getAttribute("aria-sort")]);
const put = (input, text, kind = "input") => { input.value = text; input.dispatchEvent(new Event(kind)); };
const filter = document.getElementById("filter");
const canvas = (name) => document.querySelector(`.canvas[data-plot="${name}"]`);
const picker = (name) => document.querySelector(`.pick[data-for="${name}"]`);
const title = (name) => canvas(name).querySelector(".xtitle").textContent;
const answers = {};
"""
DRAWN = """
for (let i = 0; i < 600 && document.documentElement.dataset.plots !== "drawn"; i++)
    await new Promise((done) => setTimeout(done, 50));
return document.documentElement.dataset.plots;
"""
PLOTS = {"confusion", "training", "steps", "sensitivity", "spread", "weights", "activations", "costs"}


@pytest.fixture
def page(quantized: ig.Quantized, full_facts: Facts, tmp_path: Path) -> Path:
    write_report(tmp_path / "report.html", quantized.graph, quantized.plan, full_facts)
    return tmp_path / "report.html"


def opened(chromium: Any, page: Path, width: int = 1280, **screen: bool) -> Any:
    """The browser with the page open and its plots drawn."""
    chromium.screen(width, 900, **screen)
    chromium.open(page)
    assert chromium.ask(DRAWN) == "drawn", chromium.console
    return chromium


def ask(browser: Any, questions: str) -> dict[str, Any]:
    answers: dict[str, Any] = browser.ask(f"{TOOLS} {questions} return answers;")
    return answers


def test_every_plot_is_drawn_and_nothing_is_fetched(chromium: Any, page: Path) -> None:
    browser = opened(chromium, page)
    found = browser.ask(
        """return [...document.querySelectorAll(".canvas")].map((c) => [c.dataset.plot,
            c.querySelectorAll(".main-svg .trace, .main-svg .hm, .main-svg .bars, .main-svg .trace.boxes").length])"""
    )
    assert {name for name, _ in found} == PLOTS
    assert all(count > 0 for _, count in found), found
    assert browser.console == []
    assert browser.requests == [page.as_uri()]


def test_without_facts_there_are_no_messages(chromium: Any, quantized: ig.Quantized, tmp_path: Path) -> None:
    write_report(tmp_path / "bare.html", quantized.graph, quantized.plan, Facts())
    chromium.open(tmp_path / "bare.html")
    assert chromium.ask("return document.querySelectorAll('.canvas').length") == 0
    assert chromium.ask("return document.getElementById('shown').textContent") == "10 values"
    assert chromium.console == []


def test_hostile_names_run_nothing(chromium: Any, hostile: ig.Quantized, hostile_facts: Facts, tmp_path: Path) -> None:
    write_report(tmp_path / "hostile.html", hostile.graph, hostile.plan, hostile_facts)
    browser = opened(chromium, tmp_path / "hostile.html")
    browser.ask("for (const button of document.querySelectorAll('.pick button')) button.click()")
    assert browser.console == []
    assert browser.requests == [(tmp_path / "hostile.html").as_uri()]
    # data, library, and three scripts: the table's, the plots', and the library unpacked
    assert browser.ask("return document.querySelectorAll('script').length") == 5
    assert browser.ask("return document.querySelectorAll('[onerror], .canvas img, .canvas a').length") == 0
    shown = browser.ask("return document.querySelector('.canvas[data-plot=sensitivity]').textContent")
    assert "error=alert(2)>" in shown  # as text, to be read


def test_the_policy_blocks_foreign_scripts(chromium: Any, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    added = "<script>document.title = 'owned'</script><img src='https://example.com/x.png'>"
    page.write_text(text.replace("</main>", f"{added}</main>"), encoding="utf-8")
    chromium.open(page)
    assert chromium.ask("return document.title") != "owned"
    assert sum("Content Security Policy" in line for line in chromium.console) >= 2, chromium.console


def test_a_library_that_was_changed_does_not_run(chromium: Any, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    begin = text.index('id="library">') + len('id="library">')
    end = text.index("</script>", begin)
    other = base64.b64encode(gzip.compress(b"document.title = 'owned'")).decode()
    page.write_text(text[:begin] + other + text[end:], encoding="utf-8")
    chromium.open(page)
    chromium.ask("await new Promise((done) => setTimeout(done, 300))")
    assert chromium.ask("return document.title") != "owned"
    assert any("Content Security Policy" in line for line in chromium.console)


def test_nothing_is_wider_than_the_screen(chromium: Any, page: Path) -> None:
    """On small phones and large screens, and where the width changes while the page is open."""
    browser = opened(chromium, page, 390, phone=True)
    for width in (390, 360, 800, 1280):
        browser.screen(width, 900, phone=width < 500)
        browser.ask("await new Promise((done) => setTimeout(done, 500))")
        wide = browser.ask(
            """const inside = (e) => e.closest(".scroll, svg, template, .canvas") !== null;
            const wide = (e) => !inside(e) && e.getBoundingClientRect().right > innerWidth + 1;
            return [document.documentElement.scrollWidth,
                [...document.querySelectorAll("body *")].filter(wide).map((e) => e.outerHTML.slice(0, 80))]"""
        )
        assert wide == [width, []]
        plots = browser.ask("return [...document.querySelectorAll('.canvas .main-svg')].map((s) => s.clientWidth)")
        assert plots
        assert 0.5 * width < max(plots) <= width


def test_a_finger_on_a_plot_scrolls_the_page(chromium: Any, page: Path) -> None:
    browser = opened(chromium, page, 390, phone=True)
    for plot in ("activations", "weights"):
        x, y, before = browser.ask(
            f"""const area = document.querySelector('.canvas[data-plot={plot}] .nsewdrag');
            scrollBy(0, area.getBoundingClientRect().top - 500);
            const box = area.getBoundingClientRect();
            return [box.left + box.width / 2, box.top + box.height / 2, scrollY]"""
        )
        browser.swipe(x, y, -300)
        assert browser.ask("return scrollY") > before + 100, plot


def colours(browser: Any) -> tuple[str, str]:
    found = browser.ask(
        "return [getComputedStyle(document.body).backgroundColor, "
        "document.querySelector('.canvas[data-plot=costs] .xtick text').style.fill]"
    )
    return found[0], found[1]


def test_plots_follow_light_and_dark(chromium: Any, page: Path) -> None:
    light = colours(opened(chromium, page))
    dark = colours(opened(chromium, page, dark=True))
    assert light == ("rgb(255, 255, 255)", "rgb(87, 96, 106)")
    assert dark == ("rgb(20, 23, 27)", "rgb(155, 165, 177)")
    chromium.screen(1280, 900)  # changes while the page is open
    chromium.ask("await new Promise((done) => setTimeout(done, 300))")
    assert colours(chromium) == light


def test_on_paper_everything_is_light(chromium: Any, page: Path, tmp_path: Path) -> None:
    browser = opened(chromium, page, dark=True)
    browser.ask("dispatchEvent(new Event('beforeprint'))")
    assert colours(browser)[1] == "rgb(87, 96, 106)"
    widths = browser.ask("return [...document.querySelectorAll('.canvas .main-svg')].map((s) => s.clientWidth)")
    assert set(widths) == {680}
    browser.ask("dispatchEvent(new Event('afterprint'))")
    assert colours(browser)[1] == "rgb(155, 165, 177)"
    browser.print(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
    assert browser.console == []


def test_sorting_filtering_and_links(chromium: Any, page: Path) -> None:
    answers = ask(
        opened(chromium, page),
        """
        answers.network = names();
        click("name"); answers.name = names(); answers.ascending = marked();
        click("name"); answers.reversed = names(); answers.descending = marked();
        click("ratio"); answers.ratio = names();
        click("ratio"); answers.best = names();
        click("sensitivity"); answers.sensitivity = names();
        click("step"); answers.step = [...document.querySelectorAll('[data-key="step"][data-value]')]
            .map((c) => c.dataset.value);
        click("number"); put(filter, "GEMM head"); answers.filtered = names();
        answers.shown = document.getElementById("shown").textContent;
        put(filter, ""); answers.again = names();
        """,
    )
    network = answers["network"]
    assert network == ["x", "conv.weight", "conv.bias", "c", "r", "p", "f", "head.weight", "head.bias", "y"]
    assert answers["name"] == sorted(network, key=str.casefold)
    assert answers["reversed"] == answers["name"][::-1]
    assert answers["ascending"] == [["Name", "ascending"]]
    assert answers["descending"] == [["Name", "descending"]]
    assert answers["ratio"][:5] == ["f", "r", "y", "x", "p"]  # no signal, 4.2, 38.5, 52.3, equal; then what has none
    assert answers["best"][:5] == ["p", "x", "y", "r", "f"]
    assert answers["sensitivity"][:3] == ["c", "y", "p"]
    steps = [float(step) for step in answers["step"] if step]
    assert steps == sorted(steps)
    assert answers["step"][len(steps) :] == [""] * (len(network) - len(steps))
    assert answers["filtered"] == ["head.weight", "head.bias", "y"]
    assert answers["shown"] == "3 of 10"
    assert answers["again"] == network


def test_layers_are_chosen_from_a_list_that_a_search_shortens(chromium: Any, page: Path) -> None:
    answers = ask(
        opened(chromium, page),
        """
        const controls = picker("activations"), select = controls.querySelector("select");
        const search = controls.querySelector("input"), [back, on] = controls.querySelectorAll("button");
        answers.hidden = controls.hidden;
        answers.weakest = [select.selectedOptions[0].text, title("activations")];
        answers.all = [...select.options].map((o) => o.text.split(" ")[0]);
        put(select, select.options[0].value, "change"); answers.first = title("activations");
        on.click(); answers.next = title("activations");
        back.click(); back.click(); answers.back = title("activations");
        put(search, "Y"); answers.found = [[...select.options].map((o) => o.text.split(" ")[0]), title("activations")];
        put(search, "no such"); answers.none = [select.options.length, select.disabled, on.disabled];
        put(search, ""); answers.again = select.options.length;
        """,
    )
    assert answers["hidden"] is False
    assert answers["weakest"] == ["r (4.2 dB)", "r"]
    assert answers["all"][0] == "x"
    assert answers["first"] == answers["back"] == answers["all"][0]
    assert answers["next"] == answers["all"][1]
    assert answers["found"] == [["y"], "y"]
    assert answers["none"] == [0, True, True]
    assert answers["again"] == len(answers["all"])


def test_every_calibrator_has_its_threshold_and_legend(chromium: Any, page: Path) -> None:
    found = opened(chromium, page).ask(
        "return [...document.querySelectorAll('.canvas[data-plot=activations] .legendtext')].map((t) => t.textContent)"
    )
    assert {name.replace(" ✓", "") for name in found} == set(CALIBRATORS)
    assert sum("✓" in name for name in found) == 1
