"""A compiled Program in Python: the same integers as the reference interpreter, through ctypes."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.build import generate, write
from intaglio.codegen.machine import machine as find_machine
from intaglio.errors import CompileError
from intaglio.program import Program
from intaglio.program.inputs import Input, check_codes, quantize_inputs

RUNTIME = Path(__file__).parent / "runtime"


class NativeProgram:
    """A compiled Program."""

    def __init__(self, program: Program, library: Path, threads: int = 1) -> None:
        self.program = program
        self._library = ctypes.CDLL(str(library))
        self._arena_bytes = ctypes.c_int64.in_dll(self._library, "ig_library_arena_bytes").value
        self._run = self._library.ig_library_run
        self._run.argtypes = (
            [ctypes.c_void_p] * 2 + [ctypes.c_int64, ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_void_p] * 3
        )
        self._library.ig_pool_create.restype = ctypes.c_void_p
        self._pool = self._library.ig_pool_create(threads) if threads > 1 else None

    def run_int(self, *x_q: Input) -> Any:
        """Integers in, integers out."""
        return self._execute(check_codes(self.program, x_q))

    def run(self, *x: Input) -> Any:
        """Float in, float out."""
        out = self._execute(quantize_inputs(self.program, *x))
        infos = [self.program.tensors[name] for name in self.program.outputs]
        values = [out] if len(infos) == 1 else out
        real = [q if i.params is None else i.params.dequantize(q) for i, q in zip(infos, values, strict=True)]
        return real[0] if len(real) == 1 else tuple(real)

    def _execute(self, codes: tuple[NDArray[Any], ...], nanoseconds: NDArray[np.int64] | None = None) -> Any:
        batch = codes[0].shape[0]
        codes = tuple(np.ascontiguousarray(c) for c in codes)
        infos = [self.program.tensors[name] for name in self.program.outputs]
        outputs = [np.empty((batch, *info.shape[1:]), info.type.dtype) for info in infos]
        raw = np.empty(self._arena_bytes + 64, np.uint8)
        arena = raw.ctypes.data + (-raw.ctypes.data) % 64
        pointers = (ctypes.c_void_p * len(codes))(*(c.ctypes.data for c in codes))
        results = (ctypes.c_void_p * len(outputs))(*(o.ctypes.data for o in outputs))
        status = self._run(
            pointers,
            results,
            batch,
            arena,
            self._arena_bytes,
            self._pool,
            None if nanoseconds is None else nanoseconds.ctypes.data,
            None,
        )
        if status:
            raise CompileError(f"native library: status {status}")
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def compile(
    program: Program,
    machine: str = "host",
    directory: str | Path = "build",
    *,
    threads: int = 1,
    flags: tuple[str, ...] = ("-O3",),
) -> NativeProgram:
    """Generate, compile and load a Program."""
    folder = Path(directory)
    files = generate(program, find_machine(machine), "model", threads)
    files["library.c"] = (RUNTIME / "library.c").read_text()
    write(files, folder)
    out = folder / "libmodel.so"
    command = [
        "gcc", "-std=c11", *flags, "-fPIC", "-shared", "-pthread", "-I", str(folder),
        "-DMODEL=model", "-I" + str(folder / "kernels"),
        str(folder / "model.c"), str(folder / "library.c"), "-o", str(out),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(done.stderr)
    return NativeProgram(program, out, threads)
