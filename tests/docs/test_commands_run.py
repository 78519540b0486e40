"""Every command and program of README and quickstart runs as printed, in order, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intaglio.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]
SHOWN = re.compile(r"^(float|simulated|integer) +([\d.]+) % +(\d+) +([\d,]+|-)$", re.MULTILINE)
ABSENT: dict[str, Callable[[], bool]] = {
    "make -C firmware": lambda: not all(map(shutil.which, ("make", "arm-none-eabi-gcc", "qemu-system-arm"))),
}
"""Start of a command -> whether a tool that it needs is missing here."""


def blocks(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "page", [PAGES[0], pytest.param(PAGES[1], marks=pytest.mark.slow)], ids=["README", "quickstart"]
)
def test_page_runs_as_printed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    printed, missing = "", []
    for number, (language, text) in enumerate(blocks(page), start=1):
        if language == "python":
            exec(compile(text, f"{page.name}, block {number}", "exec"), names)
            continue
        for line in text.splitlines():
            if any(line.startswith(start) and absent() for start, absent in ABSENT.items()):
                missing.append(line)
            else:
                printed += run(line, capsys)
    shown = SHOWN.findall(page.read_text(encoding="utf-8"))
    assert set(shown) <= set(SHOWN.findall(printed)), f"{page.name} shows other figures than the commands print"
    if missing:
        pytest.skip(f"needs arm-none-eabi-gcc and qemu-system-arm to run the last commands of {page.name}")


def run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run one line of a page and return what it prints."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "intaglio":
        capsys.readouterr()
        assert main(arguments) == 0, line
        return capsys.readouterr().out
    if program == "make" or program.startswith("app/"):
        environment = {**os.environ, "MAKEFLAGS": "", "PWD": os.getcwd()}  # as a shell sets it
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout
    assert program == "pip", f"{line}: expected intaglio, make, pip or a program in app/"
    return ""


def test_extras_that_pages_name_exist() -> None:
    described = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for page in PAGES:
        for extra in re.findall(r"pip install '\.\[(\w+)\]'", page.read_text(encoding="utf-8")):
            assert f"\n{extra} = [" in described, f"{page.name}: {extra}"
