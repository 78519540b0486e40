"""torch modules become Graphs through torch's exporter; what other architectures turn into is pinned here."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from intaglio_tests.onnx_net import assert_same, count, run
from torch import Tensor, nn
from torch.nn import functional

from intaglio.errors import ModelError, UsageError
from intaglio.frontends import load
from intaglio.frontends.factory import load_module
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph, shape


class Small(nn.Module):
    """Names as people write them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.avg_pool2d(x, x.size(3))
        return self.linear(self.drop(x.view(x.size(0), -1)))


class ResidualBlock(nn.Module):
    """ResNet with an option A shortcut: strided slices and padded channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Small()
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem.bn1(self.stem.conv1(x)))
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        x = functional.relu(self.conv3(functional.relu(self.bn2(self.conv2(x)))) + shortcut)
        return torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1)


class MobileBlock(nn.Module):
    """MobileNetV3: hard-swish, a squeeze-and-excite branch with hard-sigmoid, SiLU and Mish beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depth, self.bn2 = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False), nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.point = nn.Conv2d(8, 8, 1)
        self.head = nn.Sequential(nn.Linear(8, 16), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardswish(self.bn(self.stem(x)))
        y = functional.silu(self.bn2(self.depth(x)))
        gate = self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(y, 1))))
        x = functional.relu6(x + self.point(y * functional.hardsigmoid(gate)))
        x = functional.adaptive_avg_pool2d(functional.mish(x), 1).flatten(1)
        return functional.log_softmax(self.head(x), 1)


class Attention(nn.Module):
    """A vision transformer of one block with a class token; heads by reshape, permute and unbind."""

    def __init__(self, fused: bool = False) -> None:
        super().__init__()
        self.fused = fused
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 17, 16))
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.project = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q @ k.transpose(-2, -1)) * (c // 4) ** -0.5).softmax(-1) @ v
        x = x + self.project(y.transpose(1, 2).reshape(n, t, c))
        x = x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh" if self.fused else "none"))
        return self.head(x[:, 0])


class UNet(nn.Module):
    """Skip connections, transposed convolution, bilinear and nearest resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.bn = nn.ConvTranspose2d(16, 8, 2, 2, bias=False), nn.BatchNorm2d(8)
        self.c, self.d = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = functional.leaky_relu(self.a(x), 0.1)
        b = functional.elu(self.b(functional.max_pool2d(a, 2)))
        c = self.c(torch.cat([a, functional.relu(self.bn(self.up(b)))], 1))
        d = functional.interpolate(functional.avg_pool2d(c, 2), scale_factor=2, mode="bilinear")
        e = functional.interpolate(functional.max_pool2d(c, 3, 2, 1), size=c.shape[2:], mode="nearest")
        return torch.sigmoid(self.d(torch.cat([d, e], 1)))


class Sound(nn.Module):
    """1-D: strided, dilated and depthwise convolutions, PReLU, batch norm behind a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.bn = nn.Conv1d(2, 8, 5, stride=2, padding=2, bias=False), nn.BatchNorm1d(8)
        self.b, self.c = nn.Conv1d(8, 8, 3, dilation=2, padding=2, groups=8), nn.Conv1d(8, 8, 1)
        self.p = nn.PReLU(8)
        self.linear, self.bn2 = nn.Linear(8, 3), nn.BatchNorm1d(3)
        with torch.no_grad():
            self.p.weight.copy_(torch.linspace(0, 0.5, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.softplus(self.c(self.b(self.p(self.bn(self.a(x))))))
        return torch.softmax(self.bn2(self.linear(functional.max_pool1d(x, 2).mean(-1))), -1)


class SuperResolution(nn.Module):
    """Pixel shuffle; its inverse and a channel shuffle beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 8, 5, padding=2), nn.Conv2d(8, 4, 3, padding=1)
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.shuffle(torch.tanh(self.a(functional.pixel_unshuffle(x, 2)))))
        return functional.pixel_shuffle(y, 2) + x


NETWORKS: list[tuple[type[nn.Module], tuple[int, ...], str]] = [
    (ResidualBlock, (3, 8, 8), "Add Conv*3 GlobalAveragePool Pad Relu*3 Reshape Slice"),
    (
        MobileBlock,
        (3, 16, 16),
        "Add Clip Conv*5 Gemm*2 GlobalAveragePool*2 HardSigmoid HardSwish*2 LogSoftmax Mish Mul Relu Reshape Swish",
    ),
    (UNet, (3, 16, 16), "AveragePool Concat*2 Conv*4 ConvTranspose Elu LeakyRelu MaxPool*2 Relu Resize*2 Sigmoid"),
    (Sound, (2, 32), "Conv*3 Gemm MaxPool PRelu ReduceMean Softmax Softplus"),
    (
        Attention,
        (3, 16, 16),
        "Add*7 Conv Gelu Gemm LayerNormalization*2 MatMul*6 Mul Pad Reshape*7 Slice*4 Softmax Transpose*5",
    ),
]


def counted(text: str) -> Counter[str]:
    return Counter({kind: int(number or 1) for kind, _, number in (item.partition("*") for item in text.split())})


def randomized(module: nn.Module) -> nn.Module:
    """Batch norm statistics as training leaves them: none at its neutral value."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return module


def assert_same_as_module(graph: Graph, module: nn.Module, sizes: tuple[int, ...], tolerance: float = 2e-5) -> None:
    assert graph.batched
    x = torch.randn(3, *sizes)
    with torch.no_grad():
        wanted = module.eval()(x).numpy()
    assert_same(run(graph, {graph.inputs[0].name: x.numpy()}), [wanted], tolerance)


@pytest.mark.parametrize(("make", "sizes", "expected"), NETWORKS, ids=lambda item: getattr(item, "__name__", ""))
def test_architecture(make: type[nn.Module], sizes: tuple[int, ...], expected: str) -> None:
    torch.manual_seed(0)
    module = randomized(make())
    graph = load(module, torch.randn(1, *sizes))
    assert count(graph) == counted(expected)
    assert_same_as_module(graph, module, sizes)


def test_fused_attention_and_pixel_shuffle_run_on_any_batch() -> None:
    torch.manual_seed(0)
    for module, sizes in ((Attention(fused=True), (3, 16, 16)), (SuperResolution(), (1, 8, 8))):
        assert_same_as_module(load(module, torch.randn(1, *sizes)), module, sizes)


def test_names_mode_and_weights_of_the_module_are_kept() -> None:
    module = randomized(Small()).train()
    module.bn1.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    graph = load_torch(module, torch.randn(2, 3, 8, 8))
    names = {value.name for value in graph.initializers}
    assert {
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "linear.weight",
        "linear.bias",
    } <= names
    assert module.training
    assert module.conv1.training
    assert not module.bn1.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    prepared = load(module, torch.randn(2, 3, 8, 8))
    assert {value.name for value in prepared.initializers} >= {
        "conv1.weight",
        "conv1.bias",
        "linear.weight",
        "linear.bias",
    }
    # The Graph owns its weights.
    with torch.no_grad():
        module.linear.weight.zero_()
    assert graph.value("linear.weight").const_value.numpy().any()


def test_example_inputs_of_any_form() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return torch.relu(a) + b

    a = np.ones((1, 4), np.float32)
    for example in ((a, torch.ones(1, 4)), {"b": torch.ones(1, 4), "a": torch.ones(1, 4)}):
        graph = load(Two(), example)
        assert sorted(value.name for value in graph.inputs) == ["a", "b"]
        assert graph.batched
    with pytest.raises(UsageError, match="expected a tensor, an array, or a tuple or dict of them, got str"):
        load(Two(), "no tensor")
    with pytest.raises(UsageError, match="Two: expected example_inputs beside a torch.nn.Module, got none"):
        load(Two())


@pytest.mark.parametrize(("samples", "open_batch"), [(1, False), (2, True)])
def test_an_exported_program_is_the_same_network(samples: int, open_batch: bool, rng: np.random.Generator) -> None:
    torch.manual_seed(5)
    module = Small().eval()
    sizes = ({0: torch.export.Dim("batch", max=64)},) if open_batch else None
    graph = load(torch.export.export(module, (torch.zeros(samples, 3, 8, 8),), dynamic_shapes=sizes))
    assert graph.batched
    assert {str(v.name) for v in graph.initializers} >= {"conv1.weight", "linear.weight", "linear.bias"}
    x = rng.normal(size=(5, 3, 8, 8)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(run(graph, {"x": x})[0], module(torch.from_numpy(x)), rtol=1e-5, atol=1e-6)


def test_an_exported_program_takes_no_example_inputs() -> None:
    program = torch.export.export(Small().eval(), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UsageError, match="load: expected example_inputs only beside a torch.nn.Module"):
        load(program, torch.zeros(1, 3, 8, 8))


def test_what_mixes_samples_keeps_its_batch() -> None:
    class Mixing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0, keepdim=True)

    graph = load(Mixing(), torch.randn(4, 3))
    assert not graph.batched
    assert shape(graph.inputs[0]) == (4, 3)


@pytest.mark.parametrize(
    ("module", "inputs", "text"),
    [
        (Small(), torch.zeros(1, 8, 8, 3), r"got \(1, 8, 8, 3\) float32: .*; check the number and order of axes"),
        (Small(), {"image": torch.zeros(1, 3, 8, 8)}, r"got image \(1, 3, 8, 8\) float32: .*'image'; check .* names"),
        (nn.Conv2d(3, 4, 3).double(), torch.zeros(1, 3, 8, 8), r"the module is float64: call module.float\(\) first"),
    ],
)
def test_inputs_that_the_module_does_not_take(module: nn.Module, inputs: object, text: str, capfd: object) -> None:
    with pytest.raises(ModelError, match=f"expected example inputs .* that the module can be called with, .*{text}"):
        load_torch(module, inputs)
    assert capfd.readouterr().err == "", "the exporter's log says nothing more"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "text"),
    [(Small, r"got the class Small; give an object of it: Small\(\)"), ({}, "load a state dict into its module")],
)
def test_what_stands_for_a_module_is_refused(given: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        load(given, torch.zeros(1, 3, 8, 8))


def test_what_cannot_be_exported_is_one_error() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match=r"Branching: expected a module that torch\.onnx\.export can translate, got: "):
        load(Branching(), torch.randn(1, 3))


FACTORY = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = torch.nn.Linear(3, width)
    def forward(self, x):
        return self.linear(x)

def make():
    return Net()

def needs_more(width):
    return Net(width)

ready = Net()
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    (tmp_path / "my_nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    request.addfinalizer(lambda: sys.modules.pop("my_nets", None))
    return tmp_path


def test_factory_with_weights(folder: Path) -> None:
    for name in ("make", "Net", "ready"):
        assert isinstance(load_module(f"my_nets:{name}"), nn.Module)
    state = {name: torch.full_like(value, 0.5) for name, value in load_module("my_nets:make").state_dict().items()}
    for saved in (state, {"state_dict": state}, {"model": {f"module.{name}": value for name, value in state.items()}}):
        torch.save(saved, folder / "w.pt")
        assert torch.equal(load_module("my_nets:make", folder / "w.pt").linear.weight, torch.full((4, 3), 0.5))
    assert str(folder) not in sys.path


def test_factory_errors(folder: Path) -> None:
    for specification, error, text in (
        ("my_nets", UsageError, "expected package.module:factory, got no name"),
        ("no_such_nets:make", UsageError, "expected to import 'no_such_nets' from"),
        ("my_nets:absent", UsageError, "expected 'absent' in my_nets, got no such name"),
        ("my_nets:number", UsageError, "expected a function that makes a torch module, got 3"),
        ("my_nets:needs_more", ModelError, "expected a call without arguments to work, got: TypeError"),
        ("my_nets:FACTORY", UsageError, "expected 'FACTORY' in my_nets"),
    ):
        with pytest.raises(error, match=text):
            load_module(specification)
    with pytest.raises(ModelError, match=r"none\.pt: expected a file with weights, got nothing there"):
        load_module("my_nets:make", folder / "none.pt")
    (folder / "junk.pt").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"junk\.pt: expected "):
        load_module("my_nets:make", folder / "junk.pt")
    torch.save({"linear.weight": torch.zeros(5, 3), "linear.bias": torch.zeros(5)}, folder / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt: expected the weights of Net, got: .*size mismatch"):
        load_module("my_nets:make", folder / "other.pt")


class Harmful:
    """What a pickle can do: call anything."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harmed"),)  # type: ignore[return-value]


def test_a_weights_file_runs_no_code(folder: Path) -> None:
    torch.save({"linear.weight": Harmful()}, folder / "bad.pt")
    with pytest.raises(ModelError, match=r"bad\.pt: expected tensors only, got a file that would run code when loaded"):
        load_module("my_nets:make", folder / "bad.pt")
    assert not (folder / "harmed").exists()


def test_front_ends_do_not_load_torch_by_themselves() -> None:
    code = "import sys, intaglio.frontends, intaglio.frontends.factory; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
