"""Below eight bits: what is stored is packed, and the integers are the same wherever they are computed."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from intaglio_tests.bit_exact import assert_bit_exact
from torch import Tensor, nn

import intaglio as ig
from intaglio.codegen.build import write
from intaglio.codegen.emulate import SelfTestResult
from intaglio.codegen.machine import MACHINES, host, missing
from intaglio.codegen.native import compile as compile_native
from intaglio.codegen.package import build, package
from intaglio.codegen.toolchain import find_compiler
from intaglio.data import open_data
from intaglio.evaluation.model_stages import score
from intaglio.number import BIPOLAR, IntType
from intaglio.program.encode import program_to_data
from intaglio.program.weighted import Weighted
from intaglio.simulate import Simulator

TARGETS = {
    "w4a4": (IntType(4, narrow=True), IntType(4, signed=False)),
    "w2a8": (IntType(2), None),
    "w2a2": (IntType(2), IntType(2, signed=False)),
    "ternary": (IntType(2, narrow=True), None),
    "binary": (BIPOLAR, None),
    "xnor": (BIPOLAR, IntType(1, signed=False)),
}
"""Formats of weights, and of data where products have one of their own."""

FEW = (("residual", "w2a2"), ("signs", "xnor"))  # compilation is most of the time
HERE = [name for name, m in MACHINES.items() if m.threads and not missing(m)]


class Residual(nn.Module):
    """A residual stream with ReLU, as in a ResNet: products read what sums read too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.down, self.shortcut = nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.Conv2d(8, 12, 1, stride=2)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.right(torch.relu(self.left(x))))
        x = torch.relu(self.down(x) + self.shortcut(x))
        return self.head(torch.amax(x, (2, 3)))


class Signs(nn.Module):
    """Batch norm, sign, convolution; signs behind products, sums, pools and a batch norm that stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm0 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.one, self.norm1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.two, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.hidden, self.head = nn.Linear(12 * 16, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sign(self.norm0(self.stem(x)))
        x = self.norm1(self.one(x)) + self.two(x)
        x = torch.sign(self.norm2(torch.max_pool2d(x, 2)))
        x = torch.sign(torch.relu(self.wide(x)) - 0.1)
        return self.head(torch.sign(self.hidden(torch.flatten(x, 1))))


NETWORKS = {"residual": Residual, "signs": Signs}
CASES = [(n, t) for n in NETWORKS for t in TARGETS if n == "residual" or t in ("binary", "xnor")]


@cache
def quantized(network: str, target: str) -> tuple[ig.Quantized, np.ndarray]:
    torch.manual_seed(0)
    net = NETWORKS[network]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    x = np.random.default_rng(1).normal(size=(64, 3, 8, 8)).astype(np.float32)
    graph = ig.load(net.eval(), torch.as_tensor(x[:1]))
    return ig.quantize(graph, x, target, calibrator="max", equalize=False, bias_correction=False), x


@pytest.mark.parametrize(("network", "target"), CASES)
def test_the_program_has_the_target_s_formats(network: str, target: str) -> None:
    q, _ = quantized(network, target)
    program = q.lower()
    weight, data = TARGETS[target]
    layers = [node for node in program.nodes if isinstance(node.operator, Weighted)]
    inner = [node for node in layers[1:-1] if node.operator.weight_type.bits < 8]
    assert {node.operator.weight_type for node in inner} == {weight}
    assert {layers[0].operator.weight_type, layers[-1].operator.weight_type} == {IntType(8, narrow=True)}
    read = {program.tensors[node.inputs[0]].type for node in inner}
    if data is not None:
        assert read == ({BIPOLAR} if network == "signs" else {data})
    elif network == "residual":
        assert read == {IntType(8, signed=False)}


@pytest.mark.parametrize(("network", "target"), CASES)
def test_the_simulation_gives_the_integers(network: str, target: str) -> None:
    """Every sign, and every output to a step where a tie fell to the other side."""
    q, x = quantized(network, target)
    program = q.lower()
    trace = program.trace(*program.quantize_inputs(x))
    seen: dict[str, np.ndarray] = {}
    simulated = Simulator(q.graph, q.plan, "cpu").run(
        x, observe=lambda name, y: seen.setdefault(name, y.numpy().copy())
    )
    signs = {n: info for n, info in program.tensors.items() if info.type == BIPOLAR and info.graph_name in seen}
    assert len(signs) >= (4 if network == "signs" else 0)
    for name, info in signs.items():
        got = np.asarray(trace[name]).transpose(np.argsort(info.axes))
        assert set(np.unique(got)) == {-1, 1}
        assert (got != seen[str(info.graph_name)]).mean() < 1e-3, name
    step = float(program.tensors[program.outputs[0]].params.scale)
    same = np.abs(simulated[0] - program.run(x)).max(axis=1) <= 1.01 * step
    assert same.mean() >= 0.98


@pytest.mark.parametrize(("network", "target"), CASES)
def test_generated_code_returns_the_integers(network: str, target: str) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    q, x = quantized(network, target)
    program = q.lower()
    want = program.run(x)
    for machine in {"portable", host().name} if (network, target) in FEW else [host().name]:
        assert_bit_exact(compile_native(program, machine, None).run(x), want, machine)


@pytest.mark.parametrize(("network", "target"), CASES)
def test_weights_are_stored_in_their_bits(network: str, target: str, tmp_path: Path) -> None:
    q, x = quantized(network, target)
    program = q.lower()
    _, arrays = program_to_data(program)
    packed = 0
    for node in program.nodes:
        if isinstance(node.operator, Weighted):
            weight, kind = node.operator.weight, node.operator.weight_type
            assert arrays[f"node:{node.name}/weight"].nbytes == -(-weight.size * kind.bits // 8)
            packed += kind.bits < 8
    assert packed >= 3
    program.save(tmp_path / "p.intaglio")
    again = ig.load_program(tmp_path / "p.intaglio")
    again.verify()
    assert_bit_exact(again.run(x), program.run(x))
    for node, loaded in zip(program.nodes, again.nodes, strict=True):
        if isinstance(node.operator, Weighted):
            assert loaded.operator.weight_type == node.operator.weight_type
            assert np.array_equal(loaded.operator.weight, node.operator.weight)


@pytest.mark.parametrize(("network", "target"), FEW)
@pytest.mark.parametrize("machine", ["cortex-m0", "cortex-m4"])
def test_microcontrollers_return_the_integers(network: str, target: str, machine: str, tmp_path: Path) -> None:
    for command in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}, which is not installed")
    program = quantized(network, target)[0].lower()
    described = MACHINES[machine]
    write(package(program, described, "model", ("cc",), None), tmp_path)
    result = build(tmp_path, described, "model", find_compiler(described))
    assert isinstance(result.outcome, SelfTestResult), result.outcome
    assert result.outcome.instructions


def test_a_channel_of_zeros_adds_nothing_to_a_binary_layer() -> None:
    """-1 and +1 have no 0 between them: the channel's scale is what makes it vanish."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(6 * 16, 3)).eval()
    net[1].weight.data[2] = 0
    net[1].bias.data[2] = 0.7
    net[1].weight.data[4] = 0
    net[1].bias.data[4] = 0
    x = np.random.default_rng(4).normal(size=(16, 3, 8, 8)).astype(np.float32)
    q = ig.quantize(ig.load(net, torch.as_tensor(x[:1])), x, "binary", calibrator="max")
    program = q.lower()
    name = str([node for node in q.graph.nodes if node.op_type == "Conv"][1].outputs[0].name)
    tensor = next(n for n, info in program.tensors.items() if info.graph_name == name)
    params = program.tensors[tensor].params
    codes = np.asarray(program.trace(*program.quantize_inputs(x))[tensor])
    real = params.dequantize(codes.reshape(-1, 6) if codes.shape[-1] == 6 else codes)
    assert np.abs(real[:, 4]).max() == 0
    assert np.abs(real[:, 2] - 0.7).max() <= 0.51 * float(params.scale)


def test_an_accumulator_of_narrow_codes_is_proved_from_them() -> None:
    """2-bit data reach 3 steps, so 32 bits hold what 16-bit data would not."""
    q, _ = quantized("residual", "w2a2")
    program = q.lower()
    for node in program.nodes:
        if isinstance(node.operator, Weighted) and node.operator.weight_type.bits == 2:
            types = [program.tensors[name].type for name in node.inputs]
            shapes = [program.tensors[name].shape for name in node.inputs]
            taps = node.operator.weight[0].size
            most = 3 * 2 * taps + int(np.abs(node.operator.bias.astype(np.int64)).max())
            assert node.operator.accumulator_bound(tuple(shapes), tuple(types)) <= most


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_trained_network_lowers_and_agrees(target: str, shared_data: Path, tmp_path: Path) -> None:
    """ResNet-20 after training only: how much it loses is for training to win back, that all agree is not."""
    calibration, test = (shared_data / f"cifar10/{name}-resnet20.toml" for name in ("train", "test"))
    q = ig.quantize(shared_data / "cifar10/resnet20.onnx", calibration, target, samples=64, calibrator="max")
    program = q.lower()
    x = np.concatenate([a for a, _ in open_data(test, limit=16).batches(16)])
    want = program.run(x)
    for machine in HERE:
        assert_bit_exact(compile_native(program, machine, None).run(x), want, machine)
    simulated = q.simulate(x)
    assert (simulated.argmax(1) == want.argmax(1)).mean() >= 0.93
    program.save(tmp_path / "p.intaglio")
    assert_bit_exact(ig.load_program(tmp_path / "p.intaglio").run(x), want)
    if target == "w4a4":
        assert score(program, test, engine="native", limit=500).value > 20
