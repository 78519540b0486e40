"""Generate a self-contained C folder (model, kernels, self-test, build files), build and test it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intaglio.codegen.build import generate
from intaglio.codegen.buildfiles import cmake, makefile
from intaglio.codegen.emulate import Runner, SelfTestResult, find_runner, run_executable, run_selftest
from intaglio.codegen.firmware import BARE_SOURCES, board_defines, board_files, board_of, link_arguments
from intaglio.codegen.footprint import loaded_bytes, stack_bound
from intaglio.codegen.machine import Machine
from intaglio.codegen.selftest import random_samples, selftest, split_samples
from intaglio.codegen.toolchain import OPTIMIZE, OPTIMIZE_BARE, Compiler, compile_executable, compile_object
from intaglio.errors import CompileError
from intaglio.program import Program

SAMPLES = 4  # random samples of the self-test
SAMPLES_BARE = 2


@dataclass(frozen=True)
class Built:
    """Result of building a folder.

    Args:
        executable: the self-test.
        flash: bytes of the model's code and constants.
        stack: upper bound on the stack of one inference in bytes, from the compiler's call graph.
        outcome: result of the self-test, or why it could not run.
    """

    executable: Path
    flash: int | None
    stack: int | None
    outcome: SelfTestResult | str


def package(
    program: Program,
    machine: Machine,
    prefix: str,
    compiler: Sequence[str],
    inputs: Sequence[NDArray[Any]] | None = None,
    application: Sequence[str] = (),
    example: str = "",
) -> dict[str, str]:
    """Generate the files of a folder: path -> text.

    Args:
        program: a valid Program.
        machine: the machine.
        prefix: prefix of every public name.
        compiler: default compiler command of the Makefile.
        inputs: checked codes for the self-test, as for `run_int`; None: random codes.
        application: names of the C files of an application around the model, which the build files build as `main`.
        example: name of a file that the application reads.
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
    command = runner.command if isinstance(runner, Runner) else ()
    files["Makefile"] = makefile(machine, prefix, compiler, command, application, example)
    files["CMakeLists.txt"] = cmake(machine, prefix, application)
    if board:
        files |= board_files(board)
    return files


def build(folder: Path, machine: Machine, prefix: str, compiler: Compiler) -> Built:
    """Compile a folder's model and self-test, measure them, and run the self-test if possible.

    Raises:
        CompileError: the compiler or the self-test fails.
    """
    board = board_of(machine)
    flags = OPTIMIZE_BARE if board else OPTIMIZE
    objects = [folder / source.replace(".c", ".o") for source in machine.sources(prefix)]
    callgraph = objects[0].with_suffix(".ci")
    for out in objects:
        source = out.with_suffix(".c")
        try:
            compile_object(compiler, source, out, (*flags, "-fno-ipa-icf", "-fcallgraph-info=su"))
        except CompileError:  # only gcc writes call graphs; other errors are raised by the next call
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


def build_application(
    folder: Path, machine: Machine, prefix: str, compiler: Compiler, application: Sequence[str], example: str
) -> str:
    """Compile an application beside a model that `build` compiled, and run it on its example.

    Args:
        folder, machine, prefix, compiler: as for `build`.
        application: names of the application's C files.
        example: name of a file that it reads.
    Returns:
        What it printed, or nothing if it cannot run here.
    Raises:
        CompileError: the compiler or the application fails.
    """
    board = board_of(machine)
    # no contraction: main prepares sounds as Python does; -I: .incbin of input.c finds the example there
    flags = [*(OPTIMIZE_BARE if board else OPTIMIZE), "-ffp-contract=off"]
    if board:
        flags += [*board_defines(board), f"-Wa,-I{folder}"]
    executable = compile_executable(
        folder,
        machine,
        compiler,
        sources=(
            *(source.replace(".c", ".o") for source in machine.sources(prefix)),
            *application,
            *(BARE_SOURCES if board else ()),
        ),
        name="main",
        flags=flags,
        libraries=link_arguments(folder) if board else ("-lm",),
    )
    runner = find_runner(machine)
    if not isinstance(runner, Runner):
        return ""
    status, text = run_executable(executable, runner, () if board else (example,))
    if status:
        raise CompileError(f"application: expected an answer for {example}, got: {text or 'nothing'} (status {status})")
    return text
