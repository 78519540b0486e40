"""Builds one program from many kernel calls and runs it: every call against what the operator's `integer` returns."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from intaglio.codegen.machine import INSTRUCTION_SETS, cpu_features, family_of_host
from intaglio.codegen.text import Constants
from intaglio.kernels.kernel import ROOT, Call, Tensor, kernels
from intaglio.program import OPERATORS, Operator
from intaglio_tests.bit_exact import single_operator_program
from intaglio_tests.boundaries import boundary_samples

DRIVER = Path(__file__).parents[2] / "kernels" / "parity.c"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-const-variable")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")
TRAP = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")  # needs no library, so it works under emulation
Ints = np.ndarray
Sample = tuple[Operator, tuple[Ints, ...]]


@dataclass(frozen=True)
class Case:
    """One kernel call with its operands."""

    name: str
    call: Call
    inputs: tuple[Ints, ...]
    want: Ints


@cache
def samples(kind: str) -> tuple[Sample, ...]:
    """The operator's own samples, and those around the boundaries of vectors."""
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    return (*OPERATORS[kind].samples(rng), *boundary_samples(kind, rng))


@cache
def wanted(kind: str) -> tuple[Ints, ...]:
    """What the samples' outputs are."""
    return tuple(np.ascontiguousarray(operator.integer(*inputs)) for operator, inputs in samples(kind))


def operands(sample: Sample) -> tuple[list[Tensor], Tensor]:
    """Inputs and output as kernels see them."""
    program = single_operator_program(*sample)
    infos = [program.tensors[name] for name in (*program.inputs, "y")]
    *inputs, y = (Tensor(info.shape, info.type) for info in infos)
    return inputs, y


def cases(kind: str, isa: str) -> Iterator[Case]:
    """Every row of the kind's table for this instruction set with every sample that it serves."""
    for number, row in enumerate(row for row in kernels().get(kind, ()) if row.isa == isa):
        for i, (sample, want) in enumerate(zip(samples(kind), wanted(kind), strict=True)):
            inputs, y = operands(sample)
            call = row.bind(sample[0], inputs, y)
            if call is not None:
                yield Case(f"{kind} {isa} {number} sample {i}", call, sample[1], want)


def program_text(found: Sequence[Case]) -> str:
    """The generated part: constants, one function per case, the table."""
    constants = Constants(64)
    functions, table = [], []
    for i, case in enumerate(found):
        call = case.call
        params = constants.struct(call.struct, call.fields, f"k{i}")
        inputs = ["inputs"] if call.variadic else [f"inputs[{k}]" for k in range(len(case.inputs))]
        functions.append(
            f"static void call_{i}(const void *const *inputs, void *output, void *scratch, int32_t begin, int32_t end)"
            f"\n{{\n    {call.function}(&{params}, {', '.join(inputs)}, output, scratch, begin, end);\n}}\n"
        )
        sizes = ", ".join(str(x.nbytes) for x in case.inputs)
        align = max(x.itemsize for x in (*case.inputs, case.want))
        alias = sum(1 << k for k in call.may_alias)
        table.append(
            f'    {{"{case.name}", call_{i}, {call.units}, {call.split}, {len(case.inputs)}, {alias}, '
            f"{call.scratch}, {case.want.nbytes}, {case.want.itemsize}, {align}, {{{sizes}}}}},"
        )
    sources = dict.fromkeys(source for case in found for source in case.call.sources)
    includes = []
    for source in sources:
        includes += [f"#define {name} {value}" for name, value in source.defines]
        includes.append(f'#include "{source.header}"')
        includes += [f"#undef {name}" for name, _ in source.defines]
    return "\n".join(
        [
            "#include <stddef.h>\n#include <stdint.h>",
            *includes,
            *constants.lines,
            *functions,
            f'#include "{DRIVER}"',
            "const struct parity_case cases[] = {",
            *table,
            "};",
            f"const int32_t case_count = {len(found)};",
        ]
    )


@dataclass(frozen=True)
class Reach:
    """How an instruction set is compiled for and run: here, or under emulation."""

    compiler: tuple[str, ...] = ("gcc",)
    flags: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()


HERE = Reach()
EMULATED = {
    "aarch64": Reach(("aarch64-linux-gnu-gcc", "-static"), (), ("qemu-aarch64",)),
    # The instructions that Cortex-M4 has for signals are those of every Armv7-A.
    "arm": Reach(("arm-linux-gnueabihf-gcc", "-static"), ("-march=armv7-a+fp",), ("qemu-arm",)),
}
EXTENSIONS = {"neondot": ("-march=armv8.2-a+dotprod",)}


def reach(isa: str, family: str = "") -> Reach | None:
    """How to run the instruction set (`scalar`: on processors of this family), None where nothing here can."""
    here = family_of_host()
    family = family or (here if isa == "scalar" else INSTRUCTION_SETS[isa].family)
    features = () if isa == "scalar" else INSTRUCTION_SETS[isa].features
    flags = EXTENSIONS.get(isa, ())
    if family == "x86" and isa != "scalar":
        flags = tuple(f"-m{name}" for name in INSTRUCTION_SETS[isa].target.split(",") if name)
    if family == here and set(features) <= cpu_features():
        return Reach(flags=flags) if shutil.which("gcc") else None
    found = EMULATED.get(family)
    if found is None or not shutil.which(found.compiler[0]):
        return None
    for runner in (found.runner[0], f"{found.runner[0]}-static"):  # as qemu-user and qemu-user-static name it
        if shutil.which(runner):
            return Reach(found.compiler, (*found.flags, *flags), (runner, *found.runner[1:]))
    return None


def check(
    found: Iterable[Case],
    directory: Path,
    *,
    how: Reach = HERE,
    flags: Sequence[str] = ("-O1",),
    root: Path = ROOT,
) -> list[str]:
    """Compile and run the cases; the lines that the program printed about wrong ones.

    Args:
        found: the cases.
        directory: for the files.
        how: compiler, its options for the instruction set, and what runs the program.
        flags: further options.
        root: the folder with the templates.
    """
    found = list(found)
    if not found:
        return []
    source, data, program = directory / "parity.c", directory / "parity.bin", directory / "parity"
    directory.mkdir(parents=True, exist_ok=True)
    source.write_text(program_text(found))
    with data.open("wb") as file:
        for case in found:
            for array in (*case.inputs, case.want):
                file.write(np.ascontiguousarray(array).tobytes())
    command = [*how.compiler, "-std=c11", *how.flags, *flags, *WARNINGS, f"-I{root}", str(source), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr[:4000]}"
    done = subprocess.run([*how.runner, str(program), str(data)], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode == 0:
        assert lines == [f"{len(found)} calls checked"], done.stdout
        return []
    return lines or [f"exit status {done.returncode}: {done.stderr[:4000]}"]
