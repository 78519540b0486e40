"""`intaglio compile`: write a program as C for a machine; build and test it where a compiler and a runner exist."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.app.pieces import SOURCES
from intaglio.cli import compile_application
from intaglio.cli.end_options import add_end_options, parse_ends
from intaglio.cli.foreign_files import refuse_foreign
from intaglio.cli.models import PROGRAM
from intaglio.cli.output import raise_unwritable
from intaglio.cli.picture_options import add_picture_options, normalization
from intaglio.cli.run_command import read_inputs
from intaglio.codegen.build import plan, write
from intaglio.codegen.emulate import Runner, SelfTestResult, find_runner
from intaglio.codegen.machine import MACHINES, Machine, machine
from intaglio.codegen.package import Built, build, build_application, package
from intaglio.codegen.toolchain import Compiler, find_compiler
from intaglio.errors import CompileError, DataError, ExportError, IntaglioError, UsageError
from intaglio.files import whole_tree
from intaglio.program import Program
from intaglio.report.terminal_text import command, folded, next_steps
from intaglio.workflow.open_model import open_program

SAMPLES = 100  # most samples taken from --test-data
SAMPLES_BARE = 4  # the same for a microcontroller, whose flash has to hold them
_MARK = b"Written by Intaglio"  # in the first line of the generated files
# files and make targets of the folder, and those of an application
_TAKEN = frozenset({"all", "board", "clean", "library", "selftest", "test"})
_TAKEN_BY_APPLICATION = frozenset({"run", "app_settings", *(path.stem for path in SOURCES.glob("*.c"))})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("program", help=PROGRAM)
    parser.add_argument(
        "--machine",
        default="host",
        metavar="NAME",
        help=f"machine to write C for: host, {', '.join(MACHINES)} (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the C files")
    parser.add_argument(
        "--name", default="model", metavar="PREFIX", help="prefix of every C name and file (default: %(default)s)"
    )
    parser.add_argument(
        "--cc", metavar="COMMAND", help="C compiler (default: $CC, or one that is installed for the machine)"
    )
    parser.add_argument(
        "--test-data",
        metavar="X.npy",
        help="inputs of the self-test, real numbers, .npy or .npz as for `run --input` (default: random inputs)",
    )
    add_end_options(
        parser,
        "keep what OUTPUT gives for INPUT of the next call: the C code gets PREFIX_reset and PREFIX_step (may be "
        "repeated)",
    )
    parser.add_argument(
        "--io-dtype",
        metavar="[INPUT=]uint8",
        help="let the input take pictures of uint8, pixels 0 to 255, which a table normalizes by --mean and --std or "
        "those of --preset, in --layout; --input-dtype keeps the numbers that the network takes",
    )
    parser.add_argument("--app", metavar="DATA", help=compile_application.HELP)
    parser.add_argument("--no-build", action="store_true", help="only write the folder; do not compile or run it")
    add_picture_options(parser)


def run(args: argparse.Namespace) -> int:
    """Write the C files, build them, run the self-test, and print the result."""
    taken = _TAKEN | _TAKEN_BY_APPLICATION if args.app else _TAKEN
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", args.name) or args.name in taken:
        raise UsageError(
            f"--name: expected letters, digits and _, and none of {', '.join(sorted(taken))}; got {args.name!r}"
        )
    target = machine(args.machine)
    program = open_program(args.program)
    if args.io_dtype:
        name, _, type = args.io_dtype.rpartition("=")
        if type != "uint8":
            raise UsageError(
                f"--io-dtype: expected uint8 (pictures of pixels 0 to 255), got {args.io_dtype!r}; --input-dtype and "
                "--output-dtype give inputs and outputs another type"
            )
        program = program.with_pixels(*normalization(args), name=name or None)
    program = parse_ends(args).apply(program)
    inputs = None if args.test_data is None else _test_inputs(program, Path(args.test_data), target)
    app = None if args.io_dtype else compile_application.application(program, target, args)
    sources, example = (app.sources, app.example_name) if app else ((), "")
    folder = Path(args.output)
    compiler = _compiler(target, args.cc, build=not args.no_build)
    answer = ""
    built = None
    with output_tree(folder) as temporary:
        default = compiler.command if compiler else ("cc",)
        files = package(program, target, args.name, default, inputs, sources, example)
        _check_folder(folder, files, (*app.files, example, "main") if app else ())
        write(files, temporary)
        if app:
            write({**app.files, example: app.example.content}, temporary)
        if compiler and not args.no_build:
            built = build(temporary, target, args.name, compiler)
            if app:
                answer = build_application(temporary, target, args.name, compiler, sources, example)
    model = plan(program, target, args.name)
    written = files | app.files if app else files
    _describe(folder, target, written, max(v.arena.nbytes for v in model.all), compiler, built)
    if answer:
        print(f"main on {example}, the first sample:")
        print("\n".join("    " + line for line in answer.splitlines()[1:]))
    ending = "_float" if program.float_ends else ""
    calls = f"{args.name}_reset and {args.name}_step{ending}" if program.states else f"{args.name}_run{ending}"
    _describe_next(folder, target, (args.name, calls), example, built=built is not None)
    return 0


def _check_folder(folder: Path, files: Mapping[str, str], others: Sequence[str]) -> None:
    """Refuse to replace files that no earlier run of `compile` wrote."""
    marks = {name: _MARK for name, text in files.items() if _MARK.decode() in text.partition("\n")[0]}
    built = [name.removesuffix(".c") + ".o" for name in files if name.endswith(".c")]
    refuse_foreign(folder, (*files, *others, *built, "selftest"), marks)


def _describe_next(folder: Path, target: Machine, names: tuple[str, str], example: str, *, built: bool) -> None:
    prefix, calls = names
    steps = [(command("make", "-C", folder, "test"), f"{'repeat' if built else 'build and run'} the self-test")]
    if example and target.threads:
        if not built:
            steps.append((command("make", "-C", folder), "build main"))
        steps.append((command(folder / "main", folder / example), f"run main on a {Path(example).suffix} file"))
    elif example:
        run_it = command("make", "-C", folder, "run", f"INPUT={example}")
        steps.append((run_it, f"run main on a {Path(example).suffix} file, which is compiled in"))
    print(next_steps(steps))
    print(
        folded(
            f"in your project: add {prefix}.c, {prefix}.h and kernels/, and call {calls}; {prefix}.h describes "
            "its arguments",
            "  ",
        )
    )


def _compiler(target: Machine, cc: str | None, *, build: bool) -> Compiler | None:
    try:
        return find_compiler(target, cc)
    except CompileError as error:
        if build or cc is not None:
            raise CompileError(f"{error}; --no-build writes the C without compiling it") from None
        return None


def _test_inputs(program: Program, path: Path, target: Machine) -> tuple[Any, ...]:
    most = SAMPLES if target.threads else SAMPLES_BARE
    given = read_inputs(path, program.inputs)
    with_batch = {name for name in given if program.tensors[name].shape[:1] == (1,)}
    if any(np.ndim(given[name]) == 0 or len(given[name]) == 0 for name in with_batch):
        raise DataError(f"{path}: expected at least one sample in axis 0")
    return program.quantize_inputs({name: x[:most] if name in with_batch else x for name, x in given.items()})


@contextmanager
def output_tree(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` and move its files to `target` on success, over those of an earlier run.

    Raises:
        ExportError: the folder cannot be created (raised before any work is done) or written.
    """
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target}: expected a folder, got a file; choose another with -o")
    try:
        with whole_tree(target) as temporary:
            yield temporary
    except (OSError, IntaglioError) as error:
        raise_unwritable(error, target.parent, target)
        raise


def _describe(
    folder: Path,
    target: Machine,
    files: dict[str, str],
    arena: int,
    compiler: Compiler | None,
    built: Built | None,
) -> None:
    kernels = sum(path.startswith("kernels/") for path in files)
    others = ", ".join(path for path in files if not path.startswith("kernels/"))
    print(folded(f"{others} and {kernels} kernel files for {target.name}", f"written to {folder}: ", "  "))
    print(f"arena: {arena:,} bytes (working memory of one run)")
    if built is None or compiler is None:
        return
    if built.flash is not None:
        print(f"code and constants: {built.flash:,} bytes of flash")
    measured = built.outcome if isinstance(built.outcome, SelfTestResult) else None
    parts = [
        f"{measured.stack:,} bytes used" if measured and measured.stack is not None else "",
        f"at most {built.stack:,} bytes by the compiler's call graph" if built.stack is not None else "",
    ]
    if any(parts):
        print("stack: " + ", ".join(part for part in parts if part))
    if measured and measured.instructions is not None:
        print(f"instructions per inference: {measured.instructions:,}")
    if measured:
        runner = find_runner(target)
        where = runner.where if isinstance(runner, Runner) else ""
        print(f"self-test {where}: {measured.outputs} outputs bit-exact")
    else:
        print(f"self-test: built, not run: {built.outcome}")
