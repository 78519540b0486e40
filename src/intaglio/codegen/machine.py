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
        cpuid: the same as a flag of kernels/isa/cpuid.h, for compilers without a working `__builtin_cpu_supports`.
    """

    name: str
    family: str
    features: tuple[str, ...] = ()
    target: str = ""
    builtins: tuple[str, ...] = ()
    cpuid: str = ""


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
            "IG_CPU_AVX512VNNI",
        ),
        InstructionSet("avx512", "x86", _AVX512, ",".join((*_AVX512, "avx2", "fma", "bmi2")), _AVX512, "IG_CPU_AVX512"),
        InstructionSet(
            "avxvnni", "x86", ("avx2", "avx_vnni"), "avx2,avxvnni,bmi2", ("avx2", "avxvnni"), "IG_CPU_AVXVNNI"
        ),
        InstructionSet("avx2", "x86", ("avx2",), "avx2,bmi2", ("avx2",), "IG_CPU_AVX2"),
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
        flags: of the compiler, to select the processor; x86 needs none, its code says what it uses.
        variants: machines whose code it carries, best first; the first that the processor is runs.
    """

    name: str
    isas: tuple[str, ...] = ()
    family: str = ""
    threads: bool = True
    alignment: int = 64
    flags: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()

    def sources(self, prefix: str) -> tuple[str, ...]:
        """Names of the C files of a model for this machine."""
        return (f"{prefix}.c", *(f"{prefix}_{variant.replace('-', '_')}.c" for variant in self.variants))


def _cortex(cpu: str) -> tuple[str, ...]:
    return (f"-mcpu={cpu}", "-mthumb", "-mfloat-abi=soft")  # no floating-point instruction can appear


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("portable"),
        Machine("avx2", ("avx2",), "x86"),
        Machine("avxvnni", ("avxvnni", "avx2"), "x86"),
        Machine("avx512", ("avx512", "avx2"), "x86"),
        Machine("avx512vnni", ("avx512vnni", "avx512", "avx2"), "x86"),
        Machine("x86-64", (), "x86", variants=("avx512vnni", "avx512", "avxvnni", "avx2", "portable")),
        Machine("aarch64", ("neon",), "aarch64"),
        Machine("aarch64-dotprod", ("neondot", "neon"), "aarch64", flags=("-march=armv8.2-a+dotprod",)),
        Machine("cortex-m4", ("dsp",), "arm", threads=False, alignment=8, flags=_cortex("cortex-m4")),
        Machine("cortex-m7", ("dsp",), "arm", threads=False, alignment=8, flags=_cortex("cortex-m7")),
        Machine("cortex-m0", (), "arm", threads=False, alignment=8, flags=_cortex("cortex-m0")),
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
    family = family_of_host()
    for candidate in ("avx512vnni", "avx512", "avxvnni", "avx2", "aarch64-dotprod", "aarch64"):
        found = MACHINES[candidate]
        if found.family == family and not missing(found):
            return found
    return MACHINES["portable"]


def family_of_host() -> str:
    """The family of the processor that runs this; empty where no kernel is written for it."""
    return _FAMILIES.get(platform.machine(), "")


def missing(machine: Machine) -> tuple[str, ...]:
    """Instruction sets of the machine that this processor lacks; a machine of another family lacks all."""
    if machine.family and machine.family != family_of_host():
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
