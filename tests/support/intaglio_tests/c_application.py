"""Applications in C around small Programs: built here, run on files, and what they must print."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from intaglio.app.application import Application, make_application
from intaglio.codegen.build import generate, write
from intaglio.codegen.buildfiles import WARNINGS
from intaglio.codegen.machine import MACHINES
from intaglio.data.dataset import Dataset
from intaglio.data.postprocess import Postprocess
from intaglio.number import QuantParams, Rule
from intaglio.program import Node, Program, TensorInfo
from intaglio.program.operators.clamp import Clamp

SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
QUICK = ("-O1",)
PORTABLE = MACHINES["portable"]


def identity_program(shape: tuple[int, ...], params: QuantParams) -> Program:
    """A Program whose output codes are its input codes."""
    info = TensorInfo("x", shape, params.type, params)
    node = Node("same", Clamp(params.type.qmin, params.type.qmax), ("x",), "y")
    tensors = {"x": info, "y": TensorInfo("y", shape, params.type, params)}
    program = Program([node], tensors, {}, ("x",), ("y",), Rule.HALF_UP, "test")
    program.verify()
    return program


def build_application(
    program: Program,
    data: Dataset,
    folder: Path,
    postprocess: Postprocess | None = None,
    flags: Sequence[str] = QUICK,
) -> Path:
    """Write an application and compile it without a warning; returns the executable."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    made: Application = make_application(program, PORTABLE, "model", data, postprocess)
    write({**generate(program, PORTABLE), **made.files, made.example_name: made.example.content}, folder)
    command = ["gcc", "-std=c11", *WARNINGS, *flags, "model.c", *made.sources, "-o", "main", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "main"


def run_application(executable: Path, *files: Path | str) -> tuple[int, str, str]:
    """Return status, standard output and standard error."""
    command = [str(executable), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=executable.parent)
    return done.returncode, done.stdout, done.stderr


def printed_numbers(text: str, params: QuantParams, shape: tuple[int, ...]) -> list[NDArray[Any]]:
    """The codes of each answer, out of the real numbers that were printed."""
    lines = text.splitlines()[1::2]
    return [params.quantize(np.array(line.split(","), np.float64)).reshape(shape) for line in lines]


def expected_classes(codes: NDArray[Any], params: QuantParams, names: Sequence[str], top: int) -> list[str]:
    """The lines for an output whose softmax is shown, computed with fractions of exponentials of 30 bits."""
    steps = int(codes.max()) - codes.astype(np.int64).reshape(-1)
    scale = float(params.scale)
    assert params.type.bits <= 8
    parts = [round(float(np.exp(np.float64(-k * scale))) * 2**30) for k in steps]
    order = sorted(range(len(parts)), key=lambda i: (steps[i], i))
    permille = [int(Fraction(1000 * part, sum(parts)) + Fraction(1, 2)) for part in parts]
    return [f"{permille[i] // 10:>5}.{permille[i] % 10} %  {names[i]}" for i in order[:top]]
