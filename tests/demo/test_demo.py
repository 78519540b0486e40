"""`make demo`: what it prints is true, and compares like with like."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from intaglio.demo import report_picture
from intaglio.demo.__main__ import _activation, main

ROW = re.compile(r"^(float|integers) +(\w+ \w+) +([\d.]+|-) +([\d.]+ .s) +([\d.]+|-)$", re.MULTILINE)


@pytest.mark.slow
def test_demo_compares_engines_with_the_same_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(str(tmp_path / "demo")) == 0
    text = capsys.readouterr().out
    assert (tmp_path / "demo" / "out" / "report.html").is_file()
    assert f"report: open {tmp_path}/demo/out/report.html" in text.replace("\n", " ").replace("  ", " ")
    assert "the same integers as the interpreter on 1000 pictures" in text
    rows = ROW.findall(text)
    assert [(ends, engine) for ends, engine, *_ in rows if engine.startswith("intaglio")] == [
        ("float", "intaglio int8"),
        ("integers", "intaglio int8"),
    ]
    assert [ends for ends, *_ in rows] == sorted(ends for ends, *_ in rows)
    assert all((ratio == "-") == engine.startswith("intaglio") for _, engine, _, _, ratio in rows)
    top1 = {engine: float(value) for _, engine, value, _, _ in rows}
    assert top1["intaglio int8"] == pytest.approx(90.8, abs=1.5)


def test_a_report_without_a_browser_has_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_picture, "BROWSERS", ("no-such-browser",))
    trouble = report_picture.report_picture(tmp_path / "report.html", tmp_path / "report.png")
    assert trouble == "none of no-such-browser is installed"
    assert not (tmp_path / "report.png").exists()


def test_the_shell_is_told_where_the_command_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    assert _activation()[0] == ". .venv/bin/activate"
    monkeypatch.setattr("sys.prefix", "/opt/env")
    assert _activation()[0] == ". /opt/env/bin/activate"
