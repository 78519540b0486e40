"""Machines and instruction sets, and those of the processor that runs this code."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from intaglio.errors import CompileError


@dataclass(frozen=True)
class InstructionSet:
    """Instruction set with kernels.

    Args:
        name: name in the kernel tables.
        family: `x86`, `aarch64` or `arm`.
        features: features that `/proc/cpuinfo` must list.
        target: `target` attribute of functions for gcc and clang; empty if compiler flags select it.
        builtins: arguments of `__builtin_cpu_supports` to check at run time.
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
    """Machine that code is generated for.

    Args:
        name: name for the user.
        isas: instruction sets, best first; `scalar` is always included.
        family: `x86`, `aarch64`, `arm`, or empty for any.
        threads: whether there is an operating system with threads.
        alignment: alignment of the arena and of constant arrays in bytes.
        flags: compiler flags that select the processor; not needed for x86, whose functions have target attributes.
        variants: machines whose code is included, best first; the first that the processor supports is used.
    """

    name: str
    isas: tuple[str, ...] = ()
    family: str = ""
    threads: bool = True
    alignment: int = 64
    flags: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()

    def sources(self, prefix: str) -> tuple[str, ...]:
        """Return the names of a model's C files."""
        return (f"{prefix}.c", *(f"{prefix}_{variant.replace('-', '_')}.c" for variant in self.variants))


def _cortex(cpu: str) -> tuple[str, ...]:
    return (f"-mcpu={cpu}", "-mthumb", "-mfloat-abi=soft")  # soft float: no floating-point instruction is generated


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
    """Return the machine of this name; `host` is the processor that runs this code.

    Raises:
        CompileError: there is no such machine.
    """
    if name == "host":
        return host()
    if name not in MACHINES:
        near = [known for known in MACHINES if name and name in known]
        hint = f"; did you mean {near[0]}?" if near else ""
        if name.startswith("cortex"):
            hint = "; docs/code-generation.md says which of them other Cortex-M processors take"
        raise CompileError(f"machine: expected one of {', '.join(('host', *MACHINES))}, got {name!r}{hint}")
    return MACHINES[name]


@cache
def host() -> Machine:
    """Return the best machine of the table that this processor supports."""
    family = family_of_host()
    for candidate in ("avx512vnni", "avx512", "avxvnni", "avx2", "aarch64-dotprod", "aarch64"):
        found = MACHINES[candidate]
        if found.family == family and not missing(found):
            return found
    return MACHINES["portable"]


def family_of_host() -> str:
    """Return the family of this processor; empty if it has no kernels of its own."""
    return _FAMILIES.get(platform.machine(), "")


def missing(machine: Machine) -> tuple[str, ...]:
    """Return the machine's instruction sets that this processor lacks; all of them for another family."""
    if machine.family and machine.family != family_of_host():
        return machine.isas or (machine.name,)
    features = cpu_features()
    return tuple(isa for isa in machine.isas if not set(INSTRUCTION_SETS[isa].features) <= features)


@cache
def cpu_features() -> frozenset[str]:
    """Return the processor features that the operating system reports; empty if unknown."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return frozenset({"asimd", "asimddp"})  # all Apple processors of this family have both
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()
