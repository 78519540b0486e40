"""`python -m intaglio.demo [DIR]`: train a small network, quantize it, and compile it to C."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

import intaglio as ig
from intaglio.bench.comparison import compare_engines
from intaglio.bench.preparation import peer_models
from intaglio.bench.result_table import print_comparison
from intaglio.cli.output import whole_folder
from intaglio.data import open_data
from intaglio.errors import CompileError, IntaglioError
from intaglio.program import Program
from intaglio.workflow.quantize import quantize_job
from intaglio.zoo.digit_images import digits_data
from intaglio.zoo.digits import train_digits


def main(directory: str = "build/demo") -> int:
    """Train, quantize and measure; write results to `directory`."""
    print("training a small network on scikit-learn's digits ...", flush=True)
    module, accuracy = train_digits()
    print(f"trained: {accuracy:.2f} % on the test part (PyTorch)")
    digits = digits_data()
    with whole_folder(Path(directory)) as folder:
        quantize_job(
            lambda: ig.load(module, digits.calib[0][:1]),
            open_data(digits.calib[0]),
            folder,
            eval_data=open_data(digits.test),
            show=sys.stdout,
        )
    x, y = digits.test
    program = ig.load_program(Path(directory) / "model.intaglio")
    right = int((program.run(x).argmax(1) == y).sum())
    codes = program.run_int(*program.quantize_inputs(x))
    exact = np.array_equal(
        codes, np.concatenate([program.run_int(*program.quantize_inputs(x[i : i + 1])) for i in range(len(x))])
    )
    print(f"read back from {directory}/model.intaglio: {right} of {len(y)} right, {codes.dtype} outputs")
    print(f"one sample at a time gives {'the same integers' if exact else 'OTHER INTEGERS'}")
    try:
        exact &= compiled(program, module, x, Path(directory))
    except CompileError as error:
        print(f"not compiled: {error}")
    print(f"open {directory}/report.html")
    return 0 if exact else 1


def compiled(program: Program, module: nn.Module, x: NDArray[np.float32], folder: Path) -> bool:
    """Compile the program, compare it with the interpreter, and compare its latency with ONNX Runtime's.

    Args:
        program: the Program.
        module: its float network.
        x: test images, (N, 1, 8, 8).
        folder: folder for the build.
    Returns:
        Whether the integers are equal.
    """
    native = ig.compile(program, directory=folder / "build", threads=1)
    codes = program.quantize_inputs(x)
    exact = np.array_equal(native.run_int(*codes), program.run_int(*codes))
    with tempfile.TemporaryDirectory() as temporary:
        network = Path(temporary) / "float.onnx"
        ig.load(module, x[:1]).save(network)
        models = peer_models(program, network, None, ["onnxruntime"], Path(temporary))
        comparison = compare_engines({1: native}, ["onnxruntime"], models, (x[:1],))
    print_comparison("latency, one image, one thread", comparison)
    print(f"compiled for {native.machine.name}: {'bit-exact' if exact else 'OTHER INTEGERS'} on {len(x)} images")
    return exact


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:2]))
    except IntaglioError as error:
        sys.exit(f"error: {error}")
