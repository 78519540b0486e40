"""Whole networks: generated C returns the integers of the reference interpreter, on every machine that runs here."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.codegen.machine import MACHINES, host, missing
from intaglio.codegen.native import NativeProgram
from intaglio.codegen.native import compile as compile_native
from intaglio.data import open_data
from intaglio.program import OPERATORS, Program
from intaglio.program.sampling import codes
from intaglio.program.testing import assert_bit_exact, single_operator_program

HERE = [name for name, m in MACHINES.items() if m.threads and not missing(m)]
BEST = list(dict.fromkeys(("portable", host().name)))  # compilation is most of the time: few machines in quick tests
FEW, MANY = 3, 100
PYTHON_TESTS = Path(__file__).parents[1]


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


@dataclass(frozen=True)
class Network:
    """A trained network of the shared data, and real inputs for it: a descriptor, or an .npz with `input`."""

    model: str
    data: str
    calibration: str = ""

    def inputs(self, folder: Path, count: int) -> np.ndarray:
        return self._read(folder / self.data, count)

    def calibrate_on(self, folder: Path, count: int) -> np.ndarray:
        return self._read(folder / (self.calibration or self.data), count)

    def _read(self, path: Path, count: int) -> np.ndarray:
        if path.suffix == ".npz":
            x = np.load(path)["input"]
            return np.asarray(x.reshape(-1, *x.shape[2:])[:count])
        return np.concatenate([x for x, _ in open_data(path, limit=count).batches(count)])


NETWORKS = {
    "resnet8": Network("mlperf-tiny/resnet8.onnx", "cifar10/test-tiny.toml", "cifar10/train-tiny.toml"),
    "resnet20": Network("cifar10/resnet20.onnx", "cifar10/test-resnet20.toml", "cifar10/train-resnet20.toml"),
    "mobilenetv2": Network("cifar10/mobilenetv2.onnx", "cifar10/test.toml", "cifar10/train.toml"),
    "mobilenet_v2_flowers": Network(
        "flowers/mobilenet_v2_0.35_128.onnx", "flowers/test-128.toml", "flowers/calib-128.toml"
    ),
    "mobilenet_v1_imagenet": Network(
        "imagenet/mobilenet_v1_0.25_224.onnx", "imagenet/test.toml", "imagenet/calib.toml"
    ),
    "vww": Network("mlperf-tiny/vww_mobilenet_v1_0.25.onnx", "mlperf-tiny/vww_96_float_litert_io.npz"),
    "autoencoder": Network("mlperf-tiny/ad_autoencoder.onnx", "mlperf-tiny/ad01_fp32_litert_io.npz"),
}
TARGETS = (
    "cpu-int8",
    "tflite-int8",
    "int8-symmetric",
    "int8-per-tensor",
    "uint8-asymmetric",
    "power2-int8",
    "mcu-int8",
    "int16x8",
)
FOREIGN = (
    "foreign-int8/ort/resnet20_qdq_s8s8_perchannel.onnx",
    "foreign-int8/ort/resnet20_qdq_u8s8_pertensor.onnx",
    "foreign-int8/ort/resnet20_qop_u8s8_perchannel.onnx",
)


@cache
def lowered(name: str, target: str, folder: Path) -> Program:
    network = NETWORKS[name]
    data = network.calibrate_on(folder, 16)
    quantized = ig.quantize(folder / network.model, data, target, calibrator=None, bias_correction=False)
    return quantized.lower()


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
def test_networks_that_others_quantized(file: str, shared_data: Path) -> None:
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


def helper(name: str, file: str) -> ModuleType:
    """A module of other tests, under a name of its own."""
    full = f"intaglio_tests_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, PYTHON_TESTS / file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.mark.parametrize("machine", BEST)
def test_small_program_with_a_bit_of_everything(machine: str, rng: np.random.Generator) -> None:
    program = helper("program_conftest", "program/conftest.py").make_small_program()
    assert_same(program, built(program, machine), *random_codes(program, rng, 5))


@pytest.mark.parametrize("kind", ["reshape", "slice", "concat", "expand"])
def test_operators_that_may_be_views_work_straight_from_input_to_output(kind: str, rng: np.random.Generator) -> None:
    for operator, inputs in list(OPERATORS[kind].samples(rng))[:2]:
        program = single_operator_program(operator, inputs)
        assert_same(program, built(program, "portable"), *inputs)


def random_program(seed: int) -> Program:
    """The random network of this number, as tests/ops lower it."""
    networks, road = helper("random_networks", "ops/test_random_networks.py"), helper("ops", "ops/conftest.py")
    grown = networks.Grower(seed)
    graph = networks.prepare(networks.load_onnx(grown.model()))
    rng = np.random.default_rng(seed)
    batch = (5,) if grown.lead else ()
    x = {
        str(v.name): rng.normal(size=(*batch, *networks.shape(v)[grown.lead :])).astype(np.float32)
        for v in graph.inputs
    }
    program = road.lowered(graph, networks.TARGETS[seed % len(networks.TARGETS)], x).program
    assert isinstance(program, Program)
    return program


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
