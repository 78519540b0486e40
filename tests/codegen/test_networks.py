"""Whole networks: generated C returns the integers of the reference interpreter, on every machine that runs here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intaglio_tests import operator_nets
from intaglio_tests.bit_exact import assert_bit_exact, single_operator_program
from intaglio_tests.grown_networks import Grower
from intaglio_tests.programs import make_small_program
from intaglio_tests.trained_networks import FOREIGN, NETWORKS, TARGETS, lowered

import intaglio as ig
from intaglio.codegen.machine import MACHINES, host, missing
from intaglio.codegen.native import NativeProgram
from intaglio.codegen.native import compile as compile_native
from intaglio.frontends.onnx import load_onnx
from intaglio.graph.access import shape
from intaglio.graph.passes import prepare
from intaglio.program import OPERATORS, Program
from intaglio.program.sampling import codes

HERE = [name for name, m in MACHINES.items() if m.threads and not missing(m)]
BEST = list(dict.fromkeys(("portable", host().name)))  # compilation is most of the time: few machines in quick tests
FEW, MANY = 3, 100
GROWN = ("cpu-int8", "int8-symmetric", "mcu-int8", "uint8-asymmetric", "power2-int8", "tflite-int8", "int16x8")


@pytest.fixture(autouse=True)
def compiler() -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")


def built(program: Program, machine: str, threads: int = 1) -> NativeProgram:
    return compile_native(program, machine, None, threads=threads)


def assert_same(program: Program, native: NativeProgram, *x_q: Any) -> None:
    """Every output, for these codes."""
    wanted, got = program.run_int(*x_q), native.run_int(*x_q)
    pairs = [(wanted, got)] if len(program.outputs) == 1 else list(zip(wanted, got, strict=True))
    for name, (want, have) in zip(program.outputs, pairs, strict=True):
        assert_bit_exact(have, want, f"{native.machine.name}: output {name}")


def random_codes(program: Program, rng: np.random.Generator, batch: int, *, extreme: bool = False) -> list[np.ndarray]:
    infos = [program.tensors[name] for name in program.inputs]
    return [codes(rng, i.type, (batch, *i.shape[1:]), extreme=extreme) for i in infos]


@pytest.mark.parametrize("machine", BEST)
@pytest.mark.parametrize("name", ["resnet8", "autoencoder"])
def test_network_on_real_inputs(name: str, machine: str, shared_data: Path) -> None:
    program = lowered(name, "cpu-int8", shared_data)
    native = built(program, machine)
    real = NETWORKS[name].inputs(shared_data, FEW)
    assert_bit_exact(native.run(real), program.run(real))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_and_target_on_real_inputs(name: str, target: str, shared_data: Path) -> None:
    """100 inputs under the target of this machine's kind, a few elsewhere; extremes too."""
    program = lowered(name, target, shared_data)
    real = NETWORKS[name].inputs(shared_data, MANY if target == "cpu-int8" else FEW)
    want = program.run(real)
    rng = np.random.default_rng(0)
    ends = random_codes(program, rng, 1, extreme=True)
    for machine in HERE:
        native = built(program, machine)
        assert_bit_exact(native.run(real), want, machine)
        assert_same(program, native, *ends)


@pytest.mark.slow
@pytest.mark.parametrize("file", FOREIGN)
def test_networks_quantized_by_other_tools(file: str, shared_data: Path) -> None:
    program = ig.load_quantized(shared_data / file).lower()
    rng = np.random.default_rng(0)
    x = random_codes(program, rng, FEW)
    for machine in HERE:
        assert_same(program, built(program, machine), *x)


@pytest.mark.parametrize("machine", BEST)
def test_threads_do_not_change_a_network(machine: str, shared_data: Path) -> None:
    program = lowered("resnet8", "cpu-int8", shared_data)
    x = random_codes(program, np.random.default_rng(1), 4)
    assert_same(program, built(program, machine, 3), *x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2", "vww"])
def test_threads_do_not_change_larger_networks(name: str, shared_data: Path) -> None:
    program = lowered(name, "cpu-int8", shared_data)
    x = random_codes(program, np.random.default_rng(1), 2)
    for machine in HERE:
        for threads in (2, 5):
            assert_same(program, built(program, machine, threads), *x)


@pytest.mark.parametrize("machine", BEST)
def test_a_small_program_with_many_kinds_of_operators(machine: str, rng: np.random.Generator) -> None:
    program = make_small_program()
    assert_same(program, built(program, machine), *random_codes(program, rng, 5))


@pytest.mark.parametrize("kind", ["reshape", "slice", "concat", "expand"])
def test_operators_that_may_be_views_work_straight_from_input_to_output(kind: str, rng: np.random.Generator) -> None:
    for operator, inputs in list(OPERATORS[kind].samples(rng))[:2]:
        program = single_operator_program(operator, inputs)
        assert_same(program, built(program, "portable"), *inputs)


def random_program(seed: int) -> Program:
    """The random network of this number, as tests/ops lower it."""
    grown = Grower(seed)
    graph = prepare(load_onnx(grown.model()))
    rng = np.random.default_rng(seed)
    batch = (5,) if grown.lead else ()
    x = {str(v.name): rng.normal(size=(*batch, *shape(v)[grown.lead :])).astype(np.float32) for v in graph.inputs}
    return operator_nets.lowered(graph, GROWN[seed % len(GROWN)], x).program


def check_random_network(seed: int, *machines: str) -> None:
    program = random_program(seed)
    rng = np.random.default_rng(seed)
    infos = [program.tensors[name] for name in program.inputs]
    x = [codes(rng, i.type, (3, *i.shape[1:]) if program.batched else i.shape) for i in infos]
    for machine in machines:
        assert_same(program, built(program, machine), *x)


@pytest.mark.parametrize("seed", range(8))
def test_random_network(seed: int) -> None:
    check_random_network(seed, BEST[seed % len(BEST)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_random_network_on_every_machine(seed: int) -> None:
    check_random_network(seed, *HERE)
