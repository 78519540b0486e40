"""Find a compiler for a machine, and compile libraries and executables."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from intaglio.codegen.machine import Machine, family_of_host
from intaglio.errors import CompileError

STANDARD = "-std=c11"
OPTIMIZE = ("-O3",)
OPTIMIZE_BARE = ("-O2",)  # flash is scarce where there is no operating system
_TRIPLES = {"x86": "x86_64-linux-musl", "aarch64": "aarch64-linux-musl"}
_CROSS = {"x86": "x86_64-linux-gnu-gcc", "aarch64": "aarch64-linux-gnu-gcc", "arm": "arm-none-eabi-gcc"}
_MACHINE_NAMES = {"x86": ("x86_64", "amd64"), "aarch64": ("aarch64", "arm64"), "arm": ("arm", "thumb")}
_ZIG_FLAGS = {"-march=armv8.2-a+dotprod": "-mcpu=generic+v8_2a+dotprod"}
_INSTALL = {
    "": "install gcc or clang, or `pip install ziglang`",
    "x86": "install gcc or clang, or `pip install ziglang`",
    "aarch64": "install gcc-aarch64-linux-gnu, or `pip install ziglang`",
    "arm": "install gcc-arm-none-eabi and libnewlib-arm-none-eabi",
}
# The first matching line of a compiler's or linker's output gives the reason.
_COMPLAINT = re.compile(r"(?:fatal )?error:|undefined (?:reference|symbol)|overflowed by|cannot find|not found", re.I)


@dataclass(frozen=True)
class Compiler:
    """Compiler command for one machine.

    Args:
        command: program and leading arguments.
        flags: flags that select the machine.
    """

    command: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The command as shell text."""
        return shlex.join(self.command)

    @property
    def zig(self) -> bool:
        """Whether it is the compiler of the package `ziglang`."""
        return "ziglang" in self.command or Path(self.command[0]).name.startswith("zig")


def find_compiler(machine: Machine, cc: Compiler | str | None = None) -> Compiler:
    """Find a compiler for a machine.

    Args:
        machine: the machine.
        cc: compiler command with arguments; None: `$CC` if it compiles for this machine, else an installed one. A
            Compiler is returned unchanged.
    Raises:
        CompileError: no compiler is installed, or the given command does not exist.
    """
    if isinstance(cc, Compiler):
        return cc
    if cc is not None:
        command = tuple(shlex.split(cc))
        if not command or shutil.which(command[0]) is None:
            raise CompileError(f"compiler {cc!r}: no such command; give one that is installed, or leave it out")
        return _compiler(command, machine)
    for command in _candidates(machine):
        if shutil.which(command[0]) is not None:
            return _compiler(command, machine)
    raise CompileError(f"machine {machine.name}: no compiler found; {_INSTALL[machine.family]}, or name one with --cc")


def compile_library(
    folder: Path,
    machine: Machine,
    cc: Compiler | str | None = None,
    *,
    prefix: str = "model",
    flags: Sequence[str] = OPTIMIZE,
) -> Path:
    """Build a shared library from `<prefix>.c` and `library.c` in a folder.

    Args:
        folder: folder written by `codegen.build`.
        machine: machine that it was generated for.
        cc: as for `find_compiler`.
        prefix: prefix of the model.
        flags: optimization flags; they do not change results.
    Returns:
        Path of the library in the folder.
    Raises:
        CompileError: there is no compiler, or it fails.
    """
    if not machine.threads:
        raise CompileError(f"machine {machine.name}: has no operating system that loads libraries; link model.c")
    compiler = find_compiler(machine, cc)
    out = folder / f"lib{prefix}{'.dylib' if platform.system() == 'Darwin' else '.so'}"
    arguments = [
        STANDARD, *flags, "-fPIC", "-shared", "-pthread", f"-DMODEL={prefix}",
        *(str(folder / source) for source in (*machine.sources(prefix), "library.c")), "-o", str(out),
    ]  # fmt: skip
    run_compiler(compiler, arguments)
    return out


def compile_executable(
    folder: Path,
    machine: Machine,
    cc: Compiler | str | None = None,
    *,
    sources: Sequence[str] = ("model.c", "selftest.c"),
    name: str = "selftest",
    flags: Sequence[str] | None = None,
    libraries: Sequence[str] = (),
) -> Path:
    """Build an executable from sources in a folder; linked statically for another processor.

    Args:
        folder: folder written by `codegen.build`.
        machine: machine that it was generated for.
        cc: as for `find_compiler`.
        sources: names of C and object files in the folder.
        name: name of the executable in the folder.
        flags: optimization and warning flags.
        libraries: arguments at the end of the command.
    Raises:
        CompileError: there is no compiler, or it fails.
    """
    compiler = find_compiler(machine, cc)
    out = folder / name
    foreign = bool(machine.family) and machine.family != family_of_host()
    static = ("-static",) if foreign and machine.threads else ()
    flags = flags if flags is not None else (OPTIMIZE if machine.threads else OPTIMIZE_BARE)
    arguments = [
        STANDARD, *flags, *static, *(str(folder / s) for s in sources), "-o", str(out), *libraries,
    ]  # fmt: skip
    run_compiler(compiler, arguments)
    return out


def compile_object(compiler: Compiler, source: Path, out: Path, flags: Sequence[str] = OPTIMIZE) -> None:
    """Compile one file.

    Raises:
        CompileError: the compiler fails.
    """
    run_compiler(compiler, [STANDARD, *flags, "-c", str(source), "-o", str(out)])


def run_compiler(compiler: Compiler, arguments: Sequence[str]) -> str:
    """Run a compiler and return what it printed.

    Raises:
        CompileError: it cannot be run, or fails; the message has its first error line and the command.
    """
    command = [*compiler.command, *compiler.flags, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    except OSError as error:
        raise CompileError(f"compiler {compiler.text}: cannot be run ({error.strerror or error})") from error
    if done.returncode:
        raise CompileError(
            f"compiler {compiler.text}: exit status {done.returncode}: {_first_complaint(done.stderr + done.stdout)}; "
            f"the command was: {shlex.join(command)}"
        )
    return done.stdout + done.stderr


def _first_complaint(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if _COMPLAINT.search(line)), lines[0] if lines else "it printed nothing")


def _compiler(command: tuple[str, ...], machine: Machine) -> Compiler:
    compiler = Compiler(command, machine.flags)
    # zig has its own names of processors.
    return Compiler(command, tuple(_ZIG_FLAGS.get(flag, flag) for flag in machine.flags)) if compiler.zig else compiler


def _candidates(machine: Machine) -> Iterator[tuple[str, ...]]:
    """Yield commands that may compile for the machine, best first."""
    given = tuple(shlex.split(os.environ.get("CC", "")))
    native = not machine.family or machine.family == family_of_host()
    if given and (native or _targets(given).startswith(_MACHINE_NAMES[machine.family])):
        yield given
    if native:
        yield from (("gcc",), ("clang",), ("cc",))
    if machine.family in _CROSS:
        yield (_CROSS[machine.family],)
    zig = _zig()
    if zig and native:
        yield zig
    elif zig and machine.family in _TRIPLES:
        yield (*zig, "-target", _TRIPLES[machine.family])


def _zig() -> tuple[str, ...]:
    return (sys.executable, "-m", "ziglang", "cc") if find_spec("ziglang") else ()


@cache
def _targets(command: tuple[str, ...]) -> str:
    """Return the target triple of a compiler; empty if unknown."""
    try:
        done = subprocess.run([*command, "-dumpmachine"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
