"""`python -m intaglio.demo [DIR]`: sample, quantize, compile, and compare with ONNX Runtime."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

import intaglio as ig
from intaglio.cli import main as intaglio
from intaglio.data import open_data
from intaglio.demo.beside_onnxruntime import Images, Labels, print_beside_onnxruntime
from intaglio.demo.report_picture import report_picture
from intaglio.errors import CompileError, IntaglioError
from intaglio.program import Program
from intaglio.report.terminal_text import command as shell
from intaglio.report.terminal_text import folded, next_steps

SAMPLE = "resnet8"


def main(directory: str = "build/demo") -> int:
    """Run the commands of a first try, as a user types them, and compare the result with ONNX Runtime."""
    folder = Path(directory)
    out = folder / "out"
    network, calib, test = (folder / name for name in (f"{SAMPLE}.onnx", "calib.toml", "test.toml"))
    for line in (
        ["sample", SAMPLE, "-o", str(folder)],
        ["quantize", str(network), "--data", str(calib), "--eval", str(test), "-o", str(out)],
    ):
        print(f"$ {shell('intaglio', *line)}", flush=True)
        status = intaglio(line)
        if status != 0:
            return status
        print(flush=True)
    program = ig.load_program(out / "model.intaglio")
    exact = _compare(program, network, _read(calib), _read(test), folder)
    trouble = report_picture(out / "report.html", folder / "report.png")
    picture = f"{folder}/report.png is a picture of it" if trouble is None else f"no picture of it, {trouble}"
    print()
    print(folded(f"report: open {out}/report.html in a browser ({picture})"))
    steps = [] if shutil.which("intaglio") else [_activation()]
    words = (out / "model.intaglio", "--machine", "cortex-m4", "--app", test, "-o", folder / "firmware")
    steps.append((shell("intaglio", "compile", *words), "C for a microcontroller, and a program that reads a picture"))
    print(next_steps(steps))
    print("then your own network: docs/quickstart.md")
    return 0 if exact else 1


def _activation() -> tuple[str, str]:
    """Return the command that puts `intaglio` of this virtual environment on the shell's path, and its purpose."""
    script = Path(sys.prefix) / "bin" / "activate"
    here = Path.cwd()
    shown = script.relative_to(here) if script.is_relative_to(here) else script
    return shell(".", shown), "in each new shell: the command intaglio is installed there"


def _compare(
    program: Program, network: Path, calib: tuple[Images, Labels], test: tuple[Images, Labels], folder: Path
) -> bool:
    """Compile the program, and compare it with the interpreter and with ONNX Runtime.

    Returns:
        Whether the compiled program and the interpreter give the same integers.
    """
    try:
        native = ig.compile(program, directory=folder / "build", threads=1)
    except CompileError as error:
        print(f"not compiled: {error}")
        return True
    codes = program.quantize_inputs(test[0])
    exact = np.array_equal(native.run_int(*codes), program.run_int(*codes))
    verdict = "the same integers as the interpreter" if exact else "OTHER INTEGERS than the interpreter"
    print(f"compiled to C for this processor ({native.machine.name}): {verdict} on {len(test[0])} pictures\n")
    print_beside_onnxruntime(native, network, calib[0], test)
    return exact


def _read(descriptor: Path) -> tuple[Images, Labels]:
    batches = list(open_data(descriptor).batches(100))
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:2]))
    except IntaglioError as error:
        sys.exit(f"error: {error}")
