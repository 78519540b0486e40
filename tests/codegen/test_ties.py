"""Rules that differ from `half_up` in ties alone use its kernels where there are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact, single_operator_program

import intaglio as ig
from intaglio.codegen.build import plan
from intaglio.codegen.machine import MACHINES
from intaglio.codegen.without_ties import without_ties
from intaglio.number import INT8, INT16, UINT8, Rule
from intaglio.program import Program
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.lstm import Lstm
from intaglio.program.sampling import codes, grid


def convolution(scale: float, rule: Rule, seed: int = 3) -> tuple[Program, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = codes(rng, UINT8, (1, 9, 9, 16)) % np.uint8(8)  # small, so that little saturates
    weight = codes(rng, INT8, (24, 1, 1, 16))
    operator = Conv2d.from_real(grid(UINT8, 1.0), grid(INT8, scale), grid(UINT8, 8.0, 128), weight, None, rule)
    return single_operator_program(operator, (x,)), x


@pytest.mark.parametrize("rule", [Rule.HALF_EVEN, Rule.HALF_AWAY])
@pytest.mark.parametrize(("scale", "ties"), [(0.213, False), (0.25, True), (0.375, True)])
def test_only_operators_without_ties_become_half_up(rule: Rule, scale: float, ties: bool) -> None:
    program, x = convolution(scale, rule)
    settled = without_ties(program)
    assert settled.nodes[0].operator.requantize.rule is (rule if ties else Rule.HALF_UP)
    assert program.nodes[0].operator.requantize.rule is rule
    if not ties:
        assert_bit_exact(settled.nodes[0].operator.integer(x), program.run_int(x))


@pytest.mark.parametrize("machine", ["portable", "host"])
@pytest.mark.parametrize("scale", [0.213, 0.25, 0.375])
def test_half_even_rounding_runs_natively(machine: str, scale: float, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    program, x = convolution(scale, Rule.HALF_EVEN)
    up, _ = convolution(scale, Rule.HALF_UP)
    program.verify()
    want = program.run_int(x)
    assert (want != up.run_int(x)).any() == (scale != 0.213)  # the samples do tie
    assert_bit_exact(ig.compile(program, machine, directory=tmp_path).run_int(x), want)


def test_power_of_two_programs_use_vector_kernels() -> None:
    machine = next(m for m in MACHINES.values() if "avx2" in m.isas)
    for scale, vectors in ((0.213, True), (0.25, True), (0.375, False)):
        (step,) = plan(convolution(scale, Rule.HALF_EVEN)[0], machine).steps
        assert any(source.header.startswith("isa/") for source in step.call.sources) == vectors


@pytest.mark.parametrize("rule", [Rule.HALF_EVEN, Rule.HALF_AWAY])
def test_a_loop_over_time_keeps_its_rule(rule: Rule, tmp_path: Path) -> None:
    """Its accumulator bounds the recurrent product alone, which is small here; o tanh(c) does tie."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    x, hidden, cell = grid(INT16, 0.000517), grid(INT8, 2.0**-7), grid(INT16, 2.0**-12)
    weight = np.ones((4, 1), np.int8)
    operator = Lstm.from_real(x, grid(INT8, 0.00131), hidden, cell, weight, np.zeros(4), rule)
    cells = np.arange(-32768, 32768, 2, dtype=np.int16)[:, None]
    inputs = (np.zeros((len(cells), 1, 4), np.int16), np.zeros((len(cells), 1), np.int8), cells)
    program = single_operator_program(operator, inputs)
    assert_bit_exact(ig.compile(program, "portable", directory=tmp_path).run_int(*inputs), program.run_int(*inputs))
