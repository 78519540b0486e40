"""Tables: aligned, numbers to the right, and nothing in a cell that a terminal would obey."""

from __future__ import annotations

import io
import sys

import pytest

from intaglio.report import print_table

ROWS: list[tuple[object, ...]] = [
    ("conv1", 12, "40.1", "a"),
    ("a.long.name", 3456, "equal", "b"),
    ("y", "-", "7.5", ""),
]


class Terminal(io.StringIO):
    """Says that somebody looks."""

    def isatty(self) -> bool:
        return True


def printed(rows: list[tuple[object, ...]], file: io.StringIO, title: str = "layers") -> list[str]:
    print_table(title, ("name", "steps", "SQNR dB", "note"), rows, file=file)
    return file.getvalue().splitlines()


def test_plain_text_is_aligned_with_numbers_to_the_right() -> None:
    assert printed(ROWS, io.StringIO()) == [
        "layers",
        "name         steps  SQNR dB  note",
        "-----------  -----  -------  ----",
        "conv1           12     40.1  a",
        "a.long.name   3456    equal  b",
        "y                -      7.5",
    ]


def test_without_rows_the_headings_stand_alone() -> None:
    assert len(printed([], io.StringIO())) == 3
    assert len(printed([], io.StringIO(), title="")) == 2


def test_wide_characters_take_two_columns() -> None:
    lines = printed([("層一", 1, 1, ""), ("conv", 2, 2, "")], io.StringIO())
    assert lines[-2].index("1") + 2 == lines[-1].index("2")  # two characters fewer, as many columns


def test_a_terminal_gets_a_rich_table_with_the_same_cells() -> None:
    pytest.importorskip("rich", reason="needs rich (extra `quantize`)")
    text = "\n".join(printed(ROWS, Terminal()))
    assert "─" in text
    assert all(cell in text for row in ROWS for cell in map(str, row))


@pytest.mark.parametrize("file", [io.StringIO, Terminal])
def test_names_from_a_model_are_neither_markup_nor_control_characters(file: type[io.StringIO]) -> None:
    lines = printed([("[red]x[/red]", 1, 1, "\x1b]0;owned\x07\n\u202e")], file())
    text = "\n".join(lines)
    assert "[red]x[/red]" in text
    assert not {"\x1b]", "\x07", "\u202e"} & {text[i : i + n] for n in (1, 2) for i in range(len(text))}


def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert printed(ROWS, Terminal())[1] == "name         steps  SQNR dB  note"
