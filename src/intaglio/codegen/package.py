"""A Program's folder of C that stands on its own: model, kernels, self-test, build files; built and tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intaglio.codegen.build import generate
from intaglio.codegen.buildfiles import cmake, makefile
from intaglio.codegen.emulate import Outcome, Runner, find_runner, run_selftest
from intaglio.codegen.firmware import BARE_SOURCES, board_defines, board_files, board_of, link_arguments
from intaglio.codegen.footprint import loaded_bytes, stack_bound
from intaglio.codegen.machine import Machine
from intaglio.codegen.selftest import random_samples, selftest, split_samples
from intaglio.codegen.toolchain import OPTIMIZE, OPTIMIZE_BARE, Compiler, compile_executable, compile_object
from intaglio.errors import CompileError
from intaglio.program import Program

SAMPLES = 4  # random ones, where none are given
SAMPLES_BARE = 2


@dataclass(frozen=True)
class Built:
    """What is known of a folder after it was built.

    Args:
        executable: the self-test.
        flash: bytes of code and constants of the model alone.
        stack: bytes that one inference needs at most, by the compiler's call graph.
        outcome: of the self-test, or why it could not be run.
    """

    executable: Path
    flash: int | None
    stack: int | None
    outcome: Outcome | str


def package(
    program: Program,
    machine: Machine,
    prefix: str,
    compiler: Sequence[str],
    inputs: Sequence[NDArray[Any]] | None = None,
) -> dict[str, str]:
    """The files of a folder: path, text.

    Args:
        program: a Program that the verifier accepts.
        machine: what it is for.
        prefix: of every public name.
        compiler: the command that the Makefile uses by default.
        inputs: checked codes for the self-test, as `run_int` takes them; random ones where None.
    Raises:
        CompileError: an operator has no kernel.
    """
    board = board_of(machine)
    if inputs is None:
        samples = random_samples(program, SAMPLES_BARE if board else SAMPLES)
    else:
        samples = split_samples(program, inputs)
    runner = find_runner(machine)
    files = generate(program, machine, prefix)
    files["selftest.c"] = selftest(program, samples, prefix)
    files["Makefile"] = makefile(machine, prefix, compiler, runner.command if isinstance(runner, Runner) else ())
    files["CMakeLists.txt"] = cmake(machine, prefix)
    if board:
        files |= board_files(board)
    return files


def build(folder: Path, machine: Machine, prefix: str, compiler: Compiler) -> Built:
    """Compile a folder's model and self-test, measure them, and run the self-test where that can be done.

    Raises:
        CompileError: the compiler fails, or the self-test does.
    """
    board = board_of(machine)
    flags = OPTIMIZE_BARE if board else OPTIMIZE
    objects = [folder / source.replace(".c", ".o") for source in machine.sources(prefix)]
    callgraph = objects[0].with_suffix(".ci")
    for out in objects:
        source = out.with_suffix(".c")
        try:
            compile_object(compiler, source, out, (*flags, "-fno-ipa-icf", "-fcallgraph-info=su"))
        except CompileError:  # only gcc draws call graphs; any other complaint comes back from the next call
            compile_object(compiler, source, out, flags)
    stack = stack_bound(callgraph, prefix) if callgraph.exists() and not machine.variants else None
    for out in objects:
        out.with_suffix(".ci").unlink(missing_ok=True)
    executable = compile_executable(
        folder,
        machine,
        compiler,
        sources=(*(out.name for out in objects), "selftest.c", *(BARE_SOURCES if board else ())),
        flags=(*flags, *(board_defines(board) if board else ())),
        libraries=link_arguments(folder) if board else (),
    )
    runner = find_runner(machine)
    outcome = run_selftest(executable, runner) if isinstance(runner, Runner) else runner
    sizes = [size for out in objects if (size := loaded_bytes(out)) is not None]
    return Built(executable, sum(sizes) if sizes else None, stack, outcome)
