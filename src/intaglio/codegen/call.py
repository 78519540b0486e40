"""Prepare calls of a native library: arrays, working memory and their addresses for C."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.machine import Machine
from intaglio.errors import CompileError
from intaglio.program import Program, TensorInfo
from intaglio.program.interpreter import run_int

Array = NDArray[Any]
Arena = tuple[Array, int, int]  # memory, address of its aligned part, that part's bytes
_WORKED, _WRONG_PROCESSOR, _OUT_OF_RANGE = 0, 4, 5


class Library:
    """Loaded library with its thread pool and reusable working memory.

    Args:
        path: the shared library.
        machine: the machine that it was generated for.
        threads: number of threads.
    """

    def __init__(self, path: Path, machine: Machine, threads: int) -> None:
        self.path, self.machine, self.threads = path, machine, threads
        self.functions = _load(path)
        self.call = self.functions.ig_library_run
        arena_bytes = ctypes.c_int64.in_dll(self.functions, "ig_library_arena_bytes").value
        self._arena_bytes = -(-arena_bytes // machine.alignment) * machine.alignment
        self._arenas: list[
            Arena
        ] = []  # append and pop are atomic: no lock is needed, which could stay locked across a fork
        self.pool = self.functions.ig_pool_create(threads) if threads > 1 else None
        if self.pool:  # calls keep a reference to the library, so none is running now
            weakref.finalize(self, self.functions.ig_pool_destroy, self.pool).atexit = False

    def take_arena(self, samples: int) -> Arena:
        """Take working memory for one sample per thread."""
        wanted = self._arena_bytes * min(self.threads, samples)
        try:
            kept = self._arenas.pop()
        except IndexError:
            kept = None
        if kept is not None and kept[2] >= wanted:
            return kept
        alignment = self.machine.alignment
        memory = np.empty(wanted + alignment, np.uint8)
        start = address(memory)
        return memory, start + -start % alignment, wanted

    def give_arena(self, arena: Arena) -> None:
        """Return working memory for later calls."""
        self._arenas.append(arena)

    def failure(self, status: int) -> CompileError:
        """Convert a status of the C code to an error."""
        if status == _WRONG_PROCESSOR:
            return CompileError(
                f"{self.path}: this processor lacks an instruction set of machine {self.machine.name}; "
                "compile for 'host'"
            )
        return CompileError(f"{self.path}: expected status 0, got {status}; the library is not of this program")


class PreparedRun:
    """Call of a native program with fixed input, output and working memory.

    Args:
        program: the Program.
        library: its library.
        codes: checked inputs; read again at every run, so their contents may change between runs.
    """

    def __init__(self, program: Program, library: Library, codes: Sequence[Array]) -> None:
        self._program, self._library = program, library
        self.inputs = [np.ascontiguousarray(c) for c in codes]
        infos = [program.tensors[name] for name in program.inputs]
        self.samples, strides = _samples(infos, self.inputs)
        self.outputs = _outputs(program, infos, codes, self.samples)
        self._arena = library.take_arena(self.samples)
        pointers = _array(ctypes.c_void_p, [address(x) for x in self.inputs])
        results = _array(ctypes.c_void_p, [address(y) for y in self.outputs])
        moves = _array(ctypes.c_int64, strides)
        _, start, room = self._arena
        self._arguments: tuple[Any, ...] = (pointers, moves, results, self.samples, start, room, library.pool)

    def run(self, nanoseconds: NDArray[np.int64] | None = None) -> None:
        """Run the program; results are in `outputs`.

        Args:
            nanoseconds: one counter for each step, to which its time for all samples is added.
        Raises:
            DataError: an index that the network computes is outside the axis it is for.
        """
        status = self._library.call(*self._arguments, None if nanoseconds is None else address(nanoseconds))
        if status == _OUT_OF_RANGE:
            run_int(self._program, *self.inputs)  # raises the error that says which index it is
        if status != _WORKED:
            raise self._library.failure(status)

    def release(self) -> None:
        """Release the working memory; do not call `run` afterwards."""
        self._library.give_arena(self._arena)
        self._arguments = ()


def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise CompileError(f"{path}: cannot be loaded: {error}; delete the folder and compile again") from error
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    library.ig_library_run.argtypes = [*[pointer] * 3, ctypes.c_int64, pointer, ctypes.c_size_t, pointer, pointer]
    library.ig_library_run.restype = ctypes.c_int
    library.ig_pool_create.argtypes, library.ig_pool_create.restype = [number], pointer
    library.ig_pool_destroy.argtypes, library.ig_pool_destroy.restype = [pointer], None
    for name in ("u8", "s8", "u16", "s16"):
        function = getattr(library, f"ig_library_quantize_{name}")
        function.argtypes = [pointer, ctypes.c_int64, ctypes.c_float, number, number, number, pointer]
        function.restype = ctypes.c_int
    return library


def _samples(infos: Sequence[TensorInfo], inputs: Sequence[Array]) -> tuple[int, list[int]]:
    """Return the number of samples, and each input's stride in bytes from sample to sample."""
    # An input without a batch axis is the same for all samples.
    moves = [info.shape[:1] == (1,) or x.shape != info.shape for x, info in zip(inputs, infos, strict=True)]
    counts = {len(x) for x, own in zip(inputs, moves, strict=True) if own}
    assert len(counts) <= 1, counts  # checked by `program.inputs`
    samples = counts.pop() if counts else 1
    return samples, [x.nbytes // samples if own else 0 for x, own in zip(inputs, moves, strict=True)]


def _outputs(program: Program, infos: Sequence[TensorInfo], codes: Sequence[Array], samples: int) -> list[Array]:
    """Allocate outputs in the interpreter's shapes: with several samples, an output without batch axis gets one."""
    single = not program.batched and all(c.shape == i.shape for c, i in zip(codes, infos, strict=True))
    outputs = []
    for name in program.outputs:
        info = program.tensors[name]
        rest = info.shape[1:] if program.batched or info.shape[:1] == (1,) else info.shape
        outputs.append(np.empty(info.shape if single else (samples, *rest), info.type.dtype))
    return outputs


def address(x: Array) -> int:
    """Return the address of a contiguous array, faster than NumPy's usual ways, which take several microseconds."""
    if x.flags.writeable and x.nbytes:
        return ctypes.addressof(ctypes.c_char.from_buffer(x))  # type: ignore[arg-type]  # it is a buffer
    start: int = x.__array_interface__["data"][0]
    return start


def _array(type: Any, values: Sequence[int]) -> Any:
    return (type * len(values))(*values)
