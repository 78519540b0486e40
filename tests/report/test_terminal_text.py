"""Text for a terminal: lines that fit, and commands that can be copied."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest

from intaglio.report import print_table
from intaglio.report.terminal_text import WIDTH, command, folded, line_width, next_steps
from intaglio.tables import text_table


def test_paragraphs_are_folded_at_spaces_and_indented() -> None:
    text = folded("percentile-99.99 " * 20, "- ")
    lines = text.splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= WIDTH
    assert [line[:2] for line in lines] == ["- ", *["  "] * (len(lines) - 1)]
    assert text.split()[1:] == ["percentile-99.99"] * 20  # no name is broken
    assert folded("a " + "x" * 200).splitlines() == ["a", "x" * 200]


def test_lines_are_as_long_as_the_terminal_but_not_longer_than_one_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width in (("80", 80), ("250", WIDTH), ("10", 40)):
        monkeypatch.setenv("COLUMNS", columns)
        assert line_width() == width


def test_commands_are_quoted_and_never_folded() -> None:
    line = command("intaglio", "compile", Path("my out") / "model.intaglio", "-o", "d" * 120)
    assert shlex.split(line)[2] == "my out/model.intaglio"
    text = next_steps([(line, "C code"), ("intaglio bench x", "latency")])
    assert f"\n  # C code\n  {line}\n" in text
    short = next_steps([("intaglio compile x", "C code"), ("intaglio bench x", "latency")])
    assert short == "next:\n  intaglio compile x  # C code\n  intaglio bench x    # latency"


def test_wide_columns_of_text_are_folded_and_numbers_are_not() -> None:
    file = io.StringIO()
    why = "range after Relu, the saturation of the operator before: no quantizer in between"
    names = [f"features.{i}.block.conv.project.parametrizations.weight" for i in range(3)]
    print_table("values", ("name", "MAC", "why", "format"), [(n, "1,234,567", why, why[:40]) for n in names], file=file)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert sum("1,234,567" in line for line in lines) == 3
    assert all(name in file.getvalue() for name in names)
    assert max(map(len, text_table("", ("name", "why"), [("n" * 90, why)], limit=60).splitlines())) <= 60
    column = slice(lines[1].index("why"), lines[1].index("format"))
    first = next(i for i, line in enumerate(lines) if names[0] in line)
    second = next(i for i, line in enumerate(lines) if names[1] in line)
    assert " ".join(line[column].strip() for line in lines[first:second]).strip() == why
