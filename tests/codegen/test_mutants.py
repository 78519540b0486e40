"""What the verifier passes is safe: mutants of real Programs are refused, or run alike in NumPy and in sanitized C."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import single_operator_program
from intaglio_tests.harness import Case, check, reach
from intaglio_tests.mutants import Mutator, inputs_of, only, size
from intaglio_tests.nets import separable_network

from intaglio.codegen.build import model_files, plan, write
from intaglio.codegen.machine import MACHINES
from intaglio.codegen.selftest import selftest
from intaglio.errors import IntaglioError, ProgramError
from intaglio.kernels.kernel import Tensor, bind, kernels
from intaglio.number import INT8, UINT8, Rule
from intaglio.program import OPERATORS, Program

PORTABLE = MACHINES["portable"]
LARGEST = 1 << 20  # of what is run: larger mutants only have to be planned
# A trap tells no line, but compiles in half the time; the seed and the mutant's number repeat it.
QUICK = ("-fsanitize=address,undefined", "-fsanitize-undefined-trap-on-error", "-fno-sanitize-recover=all", "-g0")
ISAS = sorted({row.isa for rows in kernels().values() for row in rows})


@cache
def samples(kind: str) -> tuple[Program, ...]:
    """The operator's own samples as Programs."""
    return tuple(single_operator_program(*s) for s in OPERATORS[kind].samples(np.random.default_rng(11)))


def operator_mutants(seed: int, count: int) -> Iterator[Program]:
    """Mutants of Programs of one operator, every kind in turn; accepted ones are given, the others counted."""
    rng = np.random.default_rng(seed)
    mutator, kinds = Mutator(rng), sorted(OPERATORS)
    for i in range(count):
        yield mutator.mutant(mutator.pick(samples(kinds[i % len(kinds)])))


def accepted(program: Program) -> bool:
    """Whether the verifier passes it. Nothing but a ProgramError may come out of it."""
    try:
        program.verify()
    except ProgramError:
        return False
    return True


def case(program: Program, number: int, rng: np.random.Generator, isas: Sequence[str]) -> Case | None:
    """The kernel call of an accepted mutant and what it has to return; None where it is too large to run."""
    info = program.tensors
    operands = [Tensor(info[name].shape, info[name].type) for name in program.nodes[0].inputs]
    output = info[program.nodes[0].output]
    call = bind(only(program), operands, Tensor(output.shape, output.type), isas)
    if size(program) > LARGEST or len(operands) > 8:
        return None
    given = dict(zip(program.inputs, inputs_of(program, rng), strict=True)) | program.constants
    inputs = tuple(given[name] for name in program.nodes[0].inputs)
    want = np.asarray(only(program).integer(*inputs), order="C")
    assert want.shape == output.shape
    assert want.dtype == output.type.dtype
    assert output.type.holds(want)
    return Case(f"mutant {number} of {only(program).kind}", call, inputs, want)


def check_operators(seed: int, count: int, folder: Path, isa: str = "scalar") -> int:
    """Check so many mutants; how many of them ran."""
    rng = np.random.default_rng([seed, 1])
    found = []
    for number, program in enumerate(operator_mutants(seed, count)):
        if accepted(program):
            made = case(program, number, rng, (isa,))
            found += [] if made is None else [made]
    how = reach(isa)
    assert how is not None
    wrong = check(found, folder, how=how, flags=("-O0", *QUICK))
    assert not wrong, (seed, wrong[:20])
    return len(found)


def networks() -> list[Program]:
    return [
        separable_network(type, rule, weight_zero_point=zero, size=6)
        for type, rule, zero in (
            (UINT8, Rule.HALF_UP, 5), (INT8, Rule.TFLITE, 0), (INT8, Rule.SHIFT, 0), (UINT8, Rule.HALF_EVEN, 0),
        )
    ]  # fmt: skip


def check_networks(seed: int, count: int, most: int, folder: Path) -> int:
    """Mutants of networks through the whole generator, self-tested in one program; how many ran, `most` at most."""
    rng = np.random.default_rng(seed)
    mutator, whole, ran = Mutator(rng), networks(), []
    for number in range(count):
        program = mutator.mutant(whole[number % len(whole)])
        if not accepted(program) or size(program) > LARGEST or len(ran) >= most:
            continue
        prefix = f"m{number}"
        write(model_files(plan(program, PORTABLE, prefix)), folder)
        text = selftest(program, [inputs_of(program, rng) for _ in range(2)], prefix)
        text = text.replace("int main(void)", f"int {prefix}_main(void);\nint {prefix}_main(void)")
        (folder / f"{prefix}_selftest.c").write_text(text)
        ran.append(prefix)
    calls = "".join(f"    if ({p}_main()) return 1;\n" for p in ran)
    declared = "".join(f"int {p}_main(void);\n" for p in ran)
    (folder / "all.c").write_text(f"{declared}int main(void)\n{{\n{calls}    return 0;\n}}\n")
    files = ["all.c", *(f"{p}{part}.c" for p in ran for part in ("", "_selftest"))]
    subprocess.run(["gcc", "-std=c11", "-O0", *QUICK, *files, "-o", "all"], cwd=folder, check=True)
    done = subprocess.run(["./all"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (seed, done.stdout[-2000:], done.stderr[-2000:])
    return len(ran)


@pytest.fixture(autouse=True)
def compiler() -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")


def test_mutants_of_operators_are_refused_or_run_alike(tmp_path: Path) -> None:
    assert check_operators(0, 900, tmp_path) > 100  # both happen often


def test_mutants_of_networks_are_refused_or_run_alike(tmp_path: Path) -> None:
    assert check_networks(1, 100, 4, tmp_path) == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 145))
def test_many_mutants_of_operators(seed: int, tmp_path: Path) -> None:
    """90,000, with the kernels of each instruction set that runs here in turn."""
    here = [isa for isa in ISAS if isa == "scalar" or ((how := reach(isa)) is not None and not how.runner)]
    check_operators(seed, 2000, tmp_path, here[seed % len(here)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 220))
def test_many_mutants_of_networks(seed: int, tmp_path: Path) -> None:
    check_networks(seed, 500, 20, tmp_path)


def test_a_mutant_is_refused_by_an_error_of_ours_only() -> None:
    """The mutator does find what no operator expects: of these, each is an IntaglioError."""
    refused = [program for program in operator_mutants(3, 300) if not accepted(program)]
    assert len(refused) > 50
    for program in refused:
        with pytest.raises(IntaglioError):
            program.verify()
