"""Run a compiled Program from Python through ctypes; results equal the interpreter's integers.

A call reads the caller's inputs in place and writes new outputs; nothing else is copied. ctypes releases the GIL while
C runs. Calls from several threads are safe: each has its own arena, the first uses the thread pool, and the others run
on their own thread meanwhile.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.build import plan
from intaglio.codegen.cache import build_library
from intaglio.codegen.call import Library, PreparedRun
from intaglio.codegen.fast_input import FastInput, fast_codes, fast_quantize
from intaglio.codegen.machine import Machine, missing
from intaglio.codegen.machine import machine as find_machine
from intaglio.codegen.model import Model
from intaglio.codegen.profile import StepTime, profile_steps
from intaglio.errors import CompileError, UsageError, check_whole
from intaglio.program import Program
from intaglio.program.inputs import Input, check_codes, quantize_inputs
from intaglio.program.stream import Stream
from intaglio.program.summary import by_x, one_line
from intaglio.tables import text_table

Array = NDArray[Any]


class NativeProgram:
    """Compiled Program; created by `intaglio.compile`.

    Args:
        program: the Program.
        model: its steps and memory plan.
        library: path of the shared library.
        threads: number of threads, including the caller's; results do not depend on it.
    """

    def __init__(self, program: Program, model: Model, library: Path, threads: int) -> None:
        self.program, self.model, self.library, self.threads = program, model, library, threads
        self._outputs = [program.tensors[name] for name in program.outputs]
        self._quick = [FastInput.of(program.tensors[name]) for name in program.inputs]
        self._library = Library(library, model.machine, threads)

    @property
    def machine(self) -> Machine:
        """Machine that it was generated for."""
        return self.model.machine

    def run_int(self, *x_q: Input) -> Any:
        """Run on integers.

        Args:
            x_q: codes of the input tensors' types: one array per input in order, or one mapping from input names to
                arrays; axis 0 is the batch, of any size.
        Returns:
            Codes of the outputs, bare when there is one.
        Raises:
            DataError: an input is missing, unknown, of a wrong shape or type, or holds a code outside its type.
        """
        return _bare(self._execute(self._codes(x_q)))

    def run(self, *x: Input) -> Any:
        """Float in, float out; as `Program.run`.

        Raises:
            DataError: an input is missing, unknown, not real numbers, not finite, or of a wrong shape.
        """
        codes = fast_quantize(self._library, self._quick, x) or quantize_inputs(self.program, *x)
        outputs = self._execute(codes)
        real = [q if i.params is None else i.params.dequantize(q) for i, q in zip(self._outputs, outputs, strict=True)]
        return _bare(real)

    def __call__(self, *x: Input) -> Any:
        """Run; the same as `run`."""
        return self.run(*x)

    def stream(self, streams: int = 1) -> Stream:
        """Begin streams that keep their states from step to step; see `program.stream.Stream`.

        Raises:
            UsageError: the Program has no states.
        """
        return Stream(self.program, self.run_int, streams)

    def prepare(self, *x_q: Input) -> PreparedRun:
        """Prepare repeated runs on fixed arrays, without overhead per call; inputs as for `run_int`."""
        return PreparedRun(self.program, self._library, self._codes(x_q))

    def profile(self, *x_q: Input, repeats: int = 20, peak: float | None = None) -> list[StepTime]:
        """Measure the time of every step.

        Args:
            x_q: inputs as for `run_int`; one sample is enough.
            repeats: number of runs, of which the median is returned.
            peak: the machine's peak in multiply-adds per second on as many threads, for each step's share of it.
        """
        prepared = self.prepare(*x_q)
        rows = np.zeros((repeats, max(1, len(self.model.steps))), np.int64)
        for row in rows:
            prepared.run(row)
        prepared.release()
        return profile_steps(self.model, rows / max(1, prepared.samples), peak)

    def _codes(self, x_q: tuple[Input, ...]) -> Sequence[Array]:
        return fast_codes(self._quick, x_q) or check_codes(self.program, x_q)

    def _execute(self, codes: Sequence[Array]) -> list[Array]:
        prepared = PreparedRun(self.program, self._library, codes)
        prepared.run()
        prepared.release()
        return prepared.outputs

    def summary(self) -> str:
        """Table of the steps: the kernel calls, each of one or several operators."""
        rows = [(s.name, s.kind, by_x(self.program.tensors[s.output].shape)) for s in self.model.steps]
        return text_table(self._line(), ("step", "operators", "output"), rows)

    def _line(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return (
            f"{one_line(self.program)}; machine {self.machine.name}, {threads}, arena {self.model.arena.nbytes:,} bytes"
        )

    def __repr__(self) -> str:
        return f"NativeProgram({self._line()})"

    def __reduce__(self) -> Any:
        raise CompileError(
            "native program: holds a loaded library and cannot be pickled; send the Program and compile there"
        )


def compile(
    program: Program,
    machine: str = "host",
    directory: str | os.PathLike[str] | None = "build",
    *,
    threads: int | None = None,
    cc: str | None = None,
) -> NativeProgram:
    """Generate C for a Program, compile it, and load it.

    Args:
        program: Program from `Quantized.lower` or `load_program`.
        machine: machine that runs on this processor; `host` is the best one, `intaglio compile --help` lists all.
        directory: parent folder of the builds; a build is reused if program, machine, threads, compiler and flags are
            the same. None: keep no files.
        threads: number of threads for one sample; None: all processors that this process may use. Results do not
            depend on it.
        cc: compiler command; None: $CC, gcc, clang, or the package `ziglang`.
    Raises:
        UsageError: something else than a Program was given.
        ProgramError: the Program is not valid.
        CompileError: unknown or unsupported machine, an operator without a kernel, no compiler, or the compiler fails.
    """
    if not isinstance(program, Program):
        raise UsageError(
            f"compile: expected a Program, got {type(program).__name__}; `Quantized.lower` and `load_program` make one"
        )
    target = find_machine(machine)
    lacking = missing(target)
    if lacking:
        raise CompileError(
            f"machine {target.name}: this processor lacks {', '.join(lacking)}; use machine 'host', or write the C "
            "with `intaglio compile` and build it there"
        )
    if not target.threads:
        raise CompileError(f"machine {target.name}: has no operating system; use `intaglio compile` for its C")
    threads = _processors() if threads is None else threads
    check_whole("threads", threads)
    if threads < 1:
        raise CompileError(f"threads: expected at least 1, got {threads}")
    model = plan(program, target, threads=threads)
    # With variants, the library runs the first one that this processor supports; its steps are timed.
    running = next(variant for variant in model.all if not missing(variant.machine))
    with ExitStack() as stack:
        if directory is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="intaglio-"))
        library = build_library(model, Path(directory), cc)
        return NativeProgram(program, running, library, threads)  # loaded before a temporary folder is deleted


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not available on every system
        return os.cpu_count() or 1


def _bare(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)
