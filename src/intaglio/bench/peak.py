"""How many multiply-adds a second the processor can do at all, measured, for what a kernel's speed is held against.

A few lines of C keep the instruction that does the products of an instruction set's kernels busy, on more accumulators
than its latency needs, with nothing to load and nothing to store.
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
    """What to keep busy.

    Args:
        lines: assembly; `{0}` is the accumulator's number, 0 to `accumulators` - 1.
        macs: multiply-adds of these lines.
        accumulators: registers that are written; the next two are read.
        registers: name that the compiler knows a register by, for the list of what is overwritten.
    """

    lines: tuple[str, ...]
    macs: int
    accumulators: int
    registers: str


# An x86 loop leaves registers 14 and 15 as factors, an Arm one 30 and 31.
_LOOPS: Mapping[str, Loop] = {
    "avx512vnni": Loop(("vpdpbusd %%zmm15, %%zmm14, %%zmm{0}",), 64, 14, "xmm"),
    "avxvnni": Loop(("%{{vex%}} vpdpbusd %%ymm15, %%ymm14, %%ymm{0}",), 32, 14, "xmm"),
    "avx512": Loop(("vpmaddwd %%zmm15, %%zmm14, %%zmm13", "vpaddd %%zmm13, %%zmm{0}, %%zmm{0}"), 32, 13, "xmm"),
    "avx2": Loop(("vpmaddwd %%ymm15, %%ymm14, %%ymm13", "vpaddd %%ymm13, %%ymm{0}, %%ymm{0}"), 16, 13, "xmm"),
    "neondot": Loop(("sdot v{0}.4s, v30.16b, v31.16b",), 16, 24, "v"),
    "neon": Loop(("smlal v{0}.4s, v30.4h, v31.4h",), 4, 24, "v"),
}


def measure_peak(machine: Machine, threads: int = 1, cc: str | None = None) -> float | None:
    """Multiply-adds per second, all threads together.

    Args:
        machine: whose best instruction set counts; it has to run here.
        threads: how many work at the same time.
        cc: see `toolchain.find_compiler`.
    Returns:
        The best of several tries, or None for machines without a vector instruction for products.
    Raises:
        CompileError: no compiler, or one that fails.
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
    """Turns of the loop per second, summed over threads; each begins when all are there."""
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
