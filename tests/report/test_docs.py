"""The documentation stays true: its code runs, its commands parse, its tables and lists are those of the registries."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from intaglio.calibrate import CALIBRATORS
from intaglio.cli.main import COMMANDS
from intaglio.data.cepstrum import Cepstrum
from intaglio.data.descriptor import read_descriptor
from intaglio.data.postprocess import BoxOutput
from intaglio.targets import BUILTIN, load_target

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.name for page in PAGES]
_CITED = re.compile(r"\bdocs/[\w/-]+\.md\b")


def blocks(page: Path, *languages: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in fenced if language in languages]


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield importlib.import_module("make_tables")


# README and quickstart need the files of their own commands: tests/docs/test_commands_run.py
ALONE = [page for page in PAGES if blocks(page, "python") and page.name not in ("README.md", "quickstart.md")]


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    for number, code in enumerate(blocks(page, "python"), start=1):
        exec(compile(code, f"{page.name}, Python block {number}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_parse(page: Path) -> None:
    lines = [line for block in blocks(page, "", "sh") for line in block.splitlines() if line.startswith("intaglio ")]
    assert lines or page.name not in ("README.md", "cli.md", "quickstart.md")
    for line in lines:
        _, command, *rest = shlex.split(line, comments=True)
        assert command in COMMANDS, line
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"intaglio.cli.{command}_command").add_arguments(parser)
        try:
            parser.parse_args(rest)
        except (SystemExit, argparse.ArgumentError) as error:
            pytest.fail(f"{page.name}: {line}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_are_up_to_date(page: Path, tables: ModuleType) -> None:
    text = page.read_text(encoding="utf-8")
    assert tables.made(text) == text, f"{page.name}: run `python docs/make_tables.py`"


def test_a_stale_table_is_noticed(tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table targets -->\nold\n<!-- end -->\nb\n", encoding="utf-8")
    monkeypatch.setattr(tables, "DOCS", tmp_path)
    assert tables.main(check=True) == 1
    assert "old" in page.read_text(encoding="utf-8")
    assert tables.main(check=False) == 0
    assert tables.main(check=True) == 0
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert "`cpu-int8`" in text
    assert text.startswith("a\n<!-- table targets -->\n")
    assert text.endswith("<!-- end -->\nb\n")


def test_a_number_that_repeats_a_constant_follows_it(tables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (
        "one in four<!-- =samples.HELD_BACK[1] --> of at most `2 to 96 samples`<!-- =driver.TRIAL_SAMPLES --> in 0.5 s"
    )
    assert tables.made(page) == page
    monkeypatch.setattr("intaglio.ptq.driver.TRIAL_SAMPLES", 1024)
    monkeypatch.setattr("intaglio.samples.HELD_BACK", (1, 5))
    assert tables.made(page) == page.replace("four", "five").replace("96", "1,024")


def test_a_number_bound_to_nothing_is_an_error(tables: ModuleType) -> None:
    with pytest.raises(AttributeError, match="NO_SUCH"):
        tables.made("5<!-- =driver.NO_SUCH -->")
    with pytest.raises(LookupError, match=r"expected one file nowhere\.py"):
        tables.made("5<!-- =nowhere.SAMPLES -->")
    with pytest.raises(LookupError, match="expected a number directly before"):
        tables.made("5 and so on<!-- =driver.TRIAL_SAMPLES -->")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{page.name}: {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_pages_that_code_cites_exist() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    files += [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    cited = {(file.name, name) for file in files for name in _CITED.findall(file.read_text(encoding="utf-8"))}
    assert len(cited) > 3
    assert sorted(place for place in cited if not (ROOT / place[1]).is_file()) == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if page.name != "index.md" and f"{page.name})" not in index] == []


def test_lists_written_by_hand_are_complete() -> None:
    calibration, targets = (
        (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("calibration.md", "targets.md")
    )
    assert [name for name in (*CALIBRATORS, "auto") if f"`{name}`" not in calibration] == []
    bullets = "\n".join(line for line in targets.splitlines() if line.startswith("- "))
    assert [name for name in BUILTIN if f"`{name}`" not in bullets] == []


def test_described_files_are_valid(tmp_path: Path) -> None:
    (target,) = blocks(ROOT / "docs" / "targets.md", "toml")
    (tmp_path / "target.toml").write_text(target, encoding="utf-8")
    assert load_target(tmp_path / "target.toml").row("Softmax").zero_point == -128
    (tmp_path / "labels.txt").write_text("cat\ndog\n", encoding="utf-8")
    found = []
    for descriptor in blocks(ROOT / "docs" / "data.md", "toml"):
        (tmp_path / "data.toml").write_text(descriptor, encoding="utf-8")
        found.append(read_descriptor(tmp_path / "data.toml"))
    pictures, sounds, boxes = found
    assert pictures.image is not None
    assert sounds.sound == Cepstrum()
    assert boxes.postprocess == BoxOutput("loc", "conf")
