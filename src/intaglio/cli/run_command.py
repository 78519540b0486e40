"""`intaglio run`: run a program on inputs from a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intaglio.cli.end_options import add_end_options, parse_ends
from intaglio.cli.models import PROGRAM
from intaglio.errors import DataError, ExportError, UsageError
from intaglio.files import whole_file
from intaglio.files.reading import UnreadableError, open_file, read_npy, read_npz
from intaglio.program import Program
from intaglio.program.stream import run_stream
from intaglio.workflow.open_model import open_program

if TYPE_CHECKING:
    from intaglio.codegen.native import NativeProgram


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("program", help=PROGRAM)
    parser.add_argument(
        "--input",
        required=True,
        metavar="X.npy",
        help="inputs: .npy with samples in axis 0, or .npz with one array per input name; of a program with states, "
        "without them: the steps of one stream, or sequences with an axis of steps behind axis 0",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="Y.npy",
        help="file for the outputs: .npy, or .npz if the program has several outputs",
    )
    parser.add_argument(
        "--integers",
        action="store_true",
        help="read and write quantized integers (with the program's scales and zero points) instead of real numbers",
    )
    parser.add_argument(
        "--engine",
        choices=["reference", "native"],
        default="reference",
        help="what runs the program: the interpreter, or C compiled for this processor (default: %(default)s)",
    )
    add_end_options(
        parser, "run as a stream: INPUT takes what OUTPUT gave at the step before, at first 0 (may be repeated)"
    )


def run(args: argparse.Namespace) -> int:
    """Load the program and the inputs, run, and write the outputs."""
    if Path(args.output).suffix not in (".npy", ".npz"):
        raise UsageError(f"--output: expected a .npy or .npz file, got {args.output}")
    program = parse_ends(args).apply(open_program(args.program))
    names = program.inputs
    states = {state.input for state in program.states}
    own = tuple(name for name in names if name not in states)
    inputs = read_inputs(Path(args.input), names if len(own) != 1 else own)
    engine = program if args.engine == "reference" else _compiled(program)
    if states and not states & set(inputs):
        results = run_stream(engine, inputs, integers=args.integers)
    else:
        y = engine.run_int(inputs) if args.integers else engine.run(inputs)
        results = dict(zip(program.outputs, y if isinstance(y, tuple) else (y,), strict=True))
    _write(Path(args.output), results)
    return 0


def _compiled(program: Program) -> NativeProgram:
    from intaglio.codegen.native import compile

    return compile(program, directory=None)


def read_inputs(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Read input arrays by name from .npy or .npz.

    Raises:
        DataError: the file cannot be read, or is a .npy while the program has several inputs.
    """
    try:
        with open_file(path) as file:
            zipped = file.read(2) == b"PK"
        arrays = read_npz(path) if zipped else {names[0]: read_npy(path)}
    except UnreadableError as error:
        raise DataError(
            f"{path}: expected a .npy or .npz file, got one that cannot be read ({error}); inputs are given as the "
            "network takes them: a .npy with samples in axis 0, or a .npz with one array for each input name"
        ) from None
    if not zipped:
        if len(names) != 1:
            raise DataError(
                f"{path}: the program has {len(names)} inputs ({', '.join(names)}); give a .npz with these arrays"
            )
        return arrays
    if "y" in arrays and set(arrays) == {*names, "y"}:  # labels, as in data for calibration and evaluation
        del arrays["y"]
    if len(names) == 1 and len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    return arrays


def _write(path: Path, outputs: dict[str, Any]) -> None:
    try:
        with whole_file(path) as written, written.open("wb") as file:
            if len(outputs) == 1 and path.suffix != ".npz":
                np.save(file, next(iter(outputs.values())))
            else:
                np.savez(file, **outputs)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from None
