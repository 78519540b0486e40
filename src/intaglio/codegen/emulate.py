"""Run compiled self-tests on this processor or in an emulator."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intaglio.codegen.firmware import board_of, emulator_arguments
from intaglio.codegen.machine import Machine, family_of_host, missing
from intaglio.errors import CompileError

TIMEOUT = 600  # seconds
_EXACT = re.compile(r"^(\d+) outputs bit-exact$", re.MULTILINE)
_STACK = re.compile(r"^(\d+) bytes of stack$", re.MULTILINE)
_INSTRUCTIONS = re.compile(r"^(\d+) instructions per inference$", re.MULTILINE)


@dataclass(frozen=True)
class SelfTestResult:
    """Result of a self-test.

    Args:
        text: complete output.
        outputs: number of compared (and equal) integers.
        stack: bytes of stack used by one inference, if measured.
        instructions: instructions executed by one inference, if counted.
    """

    text: str
    outputs: int
    stack: int | None = None
    instructions: int | None = None


@dataclass(frozen=True)
class Runner:
    """Way to run a machine's executables on this computer.

    Args:
        command: command and arguments before the executable's path.
        where: description.
    """

    command: tuple[str, ...]
    where: str


def find_runner(machine: Machine) -> Runner | str:
    """Return how a machine's executables run here, or the reason why they cannot."""
    board = board_of(machine)
    if board is not None:
        if shutil.which("qemu-system-arm") is None:
            return "no emulator found: install qemu-system-arm"
        return Runner(emulator_arguments(board), f"emulated by qemu-system-arm, board {board.name}")
    if machine.family in ("", family_of_host()):
        lacks = missing(machine)
        if lacks:
            return f"this processor lacks {', '.join(lacks)}"
        return Runner((), "on this processor")
    if machine.family == "aarch64":
        for name in ("qemu-aarch64-static", "qemu-aarch64"):
            if shutil.which(name):
                return Runner((name, "-cpu", "max"), f"emulated by {name}")
        return "no emulator found: install qemu-user-static"
    return f"this processor is none of {machine.family}, and no emulator is known for it"


def run_selftest(executable: Path, runner: Runner) -> SelfTestResult:
    """Run a self-test.

    Raises:
        CompileError: outputs differ, it failed, or it took too long.
    """
    status, text = run_executable(executable, runner)
    exact = _EXACT.search(text)
    if status or exact is None:
        raise CompileError(
            f"self-test: expected the reference's integers, got: {text or 'nothing'} (status {status}, "
            f"{runner.where}); this is a defect of the generated code or of the compiler"
        )
    stack, instructions = _STACK.search(text), _INSTRUCTIONS.search(text)
    return SelfTestResult(
        text, int(exact[1]), int(stack[1]) if stack else None, int(instructions[1]) if instructions else None
    )


def run_executable(executable: Path, runner: Runner, arguments: Sequence[str] = ()) -> tuple[int, str]:
    """Run an executable in its folder; return its status and what it printed.

    Raises:
        CompileError: it cannot be run, or took too long.
    """
    command = [*runner.command, str(executable.absolute()), *arguments]
    name = executable.name
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
            errors="replace",
            stdin=subprocess.DEVNULL,
            cwd=executable.parent,
        )
    except subprocess.TimeoutExpired:
        raise CompileError(f"{name}: not finished after {TIMEOUT} s ({' '.join(command)})") from None
    except OSError as error:
        raise CompileError(f"{name}: {command[0]} cannot be run ({error.strerror or error})") from error
    return done.returncode, (done.stdout + done.stderr).strip()  # emulators write the board's output to standard error
