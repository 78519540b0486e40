"""A bar for what takes long on a terminal, silence everywhere else."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

import intaglio.progress as module
from intaglio.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called inside a test: pytest exchanges standard error between the set-up and the test."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_silent_where_standard_error_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    assert list(progress(range(5), label="counting")) == list(range(5))
    assert capsys.readouterr() == ("", "")


def test_silent_while_it_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    assert list(progress(range(5), label="counting")) == list(range(5))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("total", [None, 5])
def test_a_long_step_shows_its_label_and_count(total: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    assert list(progress(range(5), total, "counting")) == list(range(5))
    assert "counting" in stream.getvalue()
    assert "5/5" in stream.getvalue()


def test_an_inner_bar_stays_silent_and_the_outer_one_is_closed_on_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    monkeypatch.setattr(module, "PATIENCE", -1.0)

    def steps() -> Iterator[int]:
        for i in progress(range(3), label="outer"):
            yield from progress(range(2), label="inner")
            if i == 2:
                raise ValueError

    # the first step of the outer loop passes before there is any bar, so that one may show
    with pytest.raises(ValueError):
        list(steps())
    assert "outer" in stream.getvalue()
    assert not module._active


def test_silent_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert list(progress(iter("abc"))) == ["a", "b", "c"]
    assert stream.getvalue() == ""
