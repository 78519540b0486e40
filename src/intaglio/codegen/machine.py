"""Machines: what a processor can do, which compilers reach it, and what this one has."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from intaglio.errors import CompileError


@dataclass(frozen=True)
class InstructionSet:
    """One instruction set that kernels are written for.

    Args:
        name: as in the kernel tables.
        family: `x86`, `aarch64` or `arm`.
        features: what `/proc/cpuinfo` must list for it.
        target: the functions' `target` attribute, for gcc and clang; empty where the compiler's flags say it.
        builtins: what `__builtin_cpu_supports` must affirm at run time.
    """

    name: str
    family: str
    features: tuple[str, ...] = ()
    target: str = ""
    builtins: tuple[str, ...] = ()


_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
INSTRUCTION_SETS = {
    isa.name: isa
    for isa in (
        InstructionSet(
            "avx512vnni",
            "x86",
            (*_AVX512, "avx512_vnni"),
            ",".join((*_AVX512, "avx512vnni", "avx2", "fma", "bmi2")),
            (*_AVX512, "avx512vnni"),
        ),
        InstructionSet("avx512", "x86", _AVX512, ",".join((*_AVX512, "avx2", "fma", "bmi2")), _AVX512),
        InstructionSet("avxvnni", "x86", ("avx2", "avx_vnni"), "avx2,avxvnni,bmi2", ("avx2", "avxvnni")),
        InstructionSet("avx2", "x86", ("avx2",), "avx2,bmi2", ("avx2",)),
        InstructionSet("neondot", "aarch64", ("asimddp",)),
        InstructionSet("neon", "aarch64", ("asimd",)),
        InstructionSet("dsp", "arm"),
    )
}


@dataclass(frozen=True)
class Machine:
    """What code is generated for.

    Args:
        name: as the user says it.
        isas: instruction sets, best first; `scalar` is always there.
        family: `x86`, `aarch64`, `arm`, or empty for any.
        threads: whether there is an operating system with threads.
        alignment: of the arena and of constant arrays, in bytes.
    """

    name: str
    isas: tuple[str, ...] = ()
    family: str = ""
    threads: bool = True
    alignment: int = 64


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("portable"),
        Machine("avx2", ("avx2",), "x86"),
        Machine("avxvnni", ("avxvnni", "avx2"), "x86"),
        Machine("avx512", ("avx512", "avx2"), "x86"),
        Machine("avx512vnni", ("avx512vnni", "avx512", "avx2"), "x86"),
        Machine("aarch64", ("neon",), "aarch64"),
        Machine("aarch64-dotprod", ("neondot", "neon"), "aarch64"),
        Machine("cortex-m4", ("dsp",), "arm", threads=False, alignment=8),
        Machine("cortex-m7", ("dsp",), "arm", threads=False, alignment=8),
        Machine("cortex-m0", (), "arm", threads=False, alignment=8),
    )
}
_FAMILIES = {"x86_64": "x86", "AMD64": "x86", "aarch64": "aarch64", "arm64": "aarch64"}


def machine(name: str) -> Machine:
    """The machine of this name; `host` is the processor that runs this.

    Raises:
        CompileError: there is none.
    """
    if name == "host":
        return host()
    if name not in MACHINES:
        raise CompileError(f"machine: expected one of {', '.join(('host', *MACHINES))}, got {name!r}")
    return MACHINES[name]


@cache
def host() -> Machine:
    """The best machine of the table that this processor is."""
    family = _FAMILIES.get(platform.machine(), "")
    for candidate in ("avx512vnni", "avx512", "avxvnni", "avx2", "aarch64-dotprod", "aarch64"):
        found = MACHINES[candidate]
        if found.family == family and not missing(found):
            return found
    return MACHINES["portable"]


def missing(machine: Machine) -> tuple[str, ...]:
    """Instruction sets of the machine that this processor lacks; a machine of another family lacks all."""
    if machine.family and machine.family != _FAMILIES.get(platform.machine(), ""):
        return machine.isas or (machine.name,)
    features = cpu_features()
    return tuple(isa for isa in machine.isas if not set(INSTRUCTION_SETS[isa].features) <= features)


@cache
def cpu_features() -> frozenset[str]:
    """Features that the operating system reports for this processor; empty where it cannot be asked."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return frozenset({"asimd", "asimddp"})  # every Apple processor of this family has both
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()
