"""Compilers are found, told what to do, and quoted when they fail."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from intaglio.codegen import toolchain
from intaglio.codegen.machine import MACHINES, Machine, family_of_host
from intaglio.codegen.toolchain import compile_executable, compile_library, find_compiler
from intaglio.errors import CompileError


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but what a test puts into this folder, and no ziglang."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    toolchain._targets.cache_clear()
    return folder


def foreign() -> Machine:
    return MACHINES["aarch64" if family_of_host() != "aarch64" else "avx2"]


@pytest.mark.parametrize("name", ["portable", "cortex-m4", "cortex-m0", "aarch64"])
def test_a_missing_compiler_is_an_error_that_says_what_to_install(only: Path, name: str) -> None:
    with pytest.raises(CompileError, match=f"machine {name}: no compiler found; install") as error:
        find_compiler(MACHINES[name])
    assert ("arm-none-eabi" in str(error.value)) == name.startswith("cortex")


def test_a_named_compiler_must_exist(only: Path) -> None:
    for cc in ("no-such-cc -m32", " "):
        with pytest.raises(CompileError, match="no such command"):
            find_compiler(MACHINES["portable"], cc)


def test_the_compiler_in_cc_is_tried_first_if_it_compiles_for_the_machine(
    only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(only, "gcc", "exit 0")
    mine = script(only, "mycc", "echo arm-none-eabi")
    monkeypatch.setenv("CC", f"{mine} -g")
    assert find_compiler(MACHINES["portable"]).command == (str(mine), "-g")
    assert find_compiler(MACHINES["cortex-m4"]).command == (str(mine), "-g")
    assert "-mcpu=cortex-m4" in find_compiler(MACHINES["cortex-m4"]).flags
    with pytest.raises(CompileError, match="no compiler"):  # it compiles for arm, not for that one
        find_compiler(foreign())


def test_order_of_installed_compilers(only: Path) -> None:
    script(only, "cc", "")
    assert find_compiler(MACHINES["portable"]).command == ("cc",)
    script(only, "clang", "")
    assert find_compiler(MACHINES["portable"]).command == ("clang",)
    script(only, "gcc", "")
    assert find_compiler(MACHINES["portable"]).command == ("gcc",)


def test_the_compiler_from_pip_is_tried_last_and_cross_compiles(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_spec", lambda name: object())
    native = find_compiler(MACHINES["portable"])
    assert native.command[1:] == ("-m", "ziglang", "cc")
    assert native.zig
    assert find_compiler(foreign()).command[4:6][0] == "-target"
    script(only, "gcc", "")
    assert not find_compiler(MACHINES["portable"]).zig
    with pytest.raises(CompileError, match="gcc-arm-none-eabi"):
        find_compiler(MACHINES["cortex-m0"])


def test_a_compiler_that_fails_is_quoted_with_its_command(only: Path, tmp_path: Path) -> None:
    text = (
        "model.c: In function 'f':\nmodel.c:3:1: warning: odd\nmodel.c:4:2: error: this is wrong\nmodel.c:5:2: error: x"
    )
    script(only, "gcc", f'echo "{text}" >&2; exit 3')
    with pytest.raises(
        CompileError, match="exit status 3: model.c:4:2: error: this is wrong; the command was: gcc "
    ) as e:
        compile_library(tmp_path, MACHINES["portable"])
    assert "warning" not in str(e.value)
    assert "\n" not in str(e.value)
    assert "-shared" in str(e.value)


def test_a_compiler_that_cannot_be_executed_is_an_error(only: Path, tmp_path: Path) -> None:
    path = only / "gcc"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(CompileError, match="cannot be run|exit status"):
        compile_executable(tmp_path, MACHINES["portable"])


def test_no_library_without_an_operating_system(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="cortex-m4: has no operating system"):
        compile_library(tmp_path, MACHINES["cortex-m4"])
