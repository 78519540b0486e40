"""Measure the processor's peak of multiply-adds per second, to compare kernels with it.

A loop in C repeats the product instruction of the kernels, on enough accumulators to hide its latency, without loads or
stores.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

from intaglio.codegen.machine import INSTRUCTION_SETS, Machine
from intaglio.codegen.toolchain import OPTIMIZE, STANDARD, find_compiler, run_compiler

SECONDS = 0.02
REPEATS = 5


@dataclass(frozen=True)
class Loop:
    """Body of the loop.

    Args:
        lines: assembly; `{0}` is the accumulator's number, 0 to `accumulators` - 1.
        macs: multiply-adds of these lines.
        accumulators: number of accumulator registers.
        registers: prefix of register names, for the clobber list.
    """

    lines: tuple[str, ...]
    macs: int
    accumulators: int
    registers: str


# Factors are in registers 14 and 15 on x86, 30 and 31 on Arm.
_LOOPS: Mapping[str, Loop] = {
    "avx512vnni": Loop(("vpdpbusd %%zmm15, %%zmm14, %%zmm{0}",), 64, 14, "xmm"),
    "avxvnni": Loop(("%{{vex%}} vpdpbusd %%ymm15, %%ymm14, %%ymm{0}",), 32, 14, "xmm"),
    "avx512": Loop(("vpmaddwd %%zmm15, %%zmm14, %%zmm13", "vpaddd %%zmm13, %%zmm{0}, %%zmm{0}"), 32, 13, "xmm"),
    "avx2": Loop(("vpmaddwd %%ymm15, %%ymm14, %%ymm13", "vpaddd %%ymm13, %%ymm{0}, %%ymm{0}"), 16, 13, "xmm"),
    "neondot": Loop(("sdot v{0}.4s, v30.16b, v31.16b",), 16, 24, "v"),
    "neon": Loop(("smlal v{0}.4s, v30.4h, v31.4h",), 4, 24, "v"),
}


def measure_peak(machine: Machine, threads: int = 1, cc: str | None = None) -> float | None:
    """Measure multiply-adds per second, summed over all threads.

    Args:
        machine: machine whose best instruction set is measured; has to run here.
        threads: number of threads.
        cc: see `toolchain.find_compiler`.
    Returns:
        The best of several measurements; None for machines without a vector instruction for products.
    Raises:
        CompileError: there is no compiler, or it fails.
    """
    name = next((isa for isa in machine.isas if isa in _LOOPS), None)
    if name is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "peak.c", Path(folder) / "peak.so"
        source.write_text(_text(name))
        flags = [STANDARD, *OPTIMIZE, "-fPIC", "-shared", str(source), "-o", str(library)]
        run_compiler(find_compiler(machine, cc), flags)
        function = ctypes.CDLL(str(library)).peak
    function.argtypes, function.restype = [ctypes.c_int64], None
    loops = 1 << 12
    while (seconds := _timed(function, loops)) < SECONDS:
        loops = max(loops * 2, int(loops * SECONDS / max(seconds, 1e-9)))
    return max(_together(function, loops, threads) for _ in range(REPEATS)) * _macs(_LOOPS[name])


def _macs(loop: Loop) -> int:
    return loop.macs * loop.accumulators


def _timed(function: ctypes._NamedFuncPointer, loops: int) -> float:
    begin = time.perf_counter()
    function(loops)
    return time.perf_counter() - begin


def _together(function: ctypes._NamedFuncPointer, loops: int, threads: int) -> float:
    """Return loop iterations per second, summed over threads that start together."""
    barrier = Barrier(threads)

    def work(_: int) -> float:
        barrier.wait()
        return loops / _timed(function, loops)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads)))


def _text(name: str) -> str:
    """The C of one instruction set's loop."""
    loop, isa = _LOOPS[name], INSTRUCTION_SETS[name]
    lines = [line.format(i) for i in range(loop.accumulators) for line in loop.lines]
    body = "\n".join(f'        "{line}\\n\\t"' for line in lines)
    used = range(16) if isa.family == "x86" else range(32)
    clobbers = ", ".join(f'"{loop.registers}{i}"' for i in used)
    target = f'__attribute__((target("{isa.target}")))\n' if isa.target else ""
    return f"""#include <stdint.h>

{target}void peak(int64_t loops)
{{
    for (int64_t i = 0; i < loops; i++)
        __asm__ volatile(
{body}
            : : : {clobbers});
}}
"""
