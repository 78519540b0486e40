"""Layers are called as in the module, whichever way torch's exporter was called; files without its notes keep names."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from intaglio_tests.onnx_net import Net
from torch import Tensor, nn
from torch.nn import functional

import intaglio as ig
from intaglio.frontends import load_onnx
from intaglio.frontends.module_names import name_by_modules
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph
from intaglio.graph.passes import prepare
from intaglio.plan.layer_patterns import layers_matching


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.act(self.bn(self.conv(x))) + x)


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x + 1)


class Images(nn.Module):
    """Nested Sequential, ModuleList, a module and an activation called twice, functional operators."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(Block(), Block()), nn.Hardswish())
        self.blocks = nn.ModuleList([Block() for _ in range(2)])
        self.shared, self.act, self.gate = nn.Conv2d(4, 4, 1), nn.ReLU6(), Gate()
        self.pool, self.flatten, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        for block in self.blocks:
            x = block(x)
        x = self.act(self.shared(self.act(self.shared(x))))
        return functional.softmax(self.head(self.flatten(self.pool(self.gate(x)))), dim=1)


class Tokens(nn.Module):
    """Attention, a product of three axes with a bias, decomposed GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.up, self.gelu, self.head = nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 3)
        self.elu = nn.ELU(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return self.head(self.elu(self.gelu(self.up(x)).mean(1)))


SIZES: dict[type[nn.Module], tuple[int, ...]] = {Images: (1, 3, 8, 8), Tokens: (1, 6, 8)}


def block(path: str) -> list[tuple[str, str]]:
    return [("Conv", f"{path}.conv"), ("Relu", f"{path}.act"), ("Add", f"{path}.add"), ("Relu", f"{path}.relu")]


IMAGES = [
    ("Conv", "features.0"),
    *block("features.1.0"),
    *block("features.1.1"),
    ("HardSwish", "features.2"),
    *block("blocks.0"),
    *block("blocks.1"),
    ("Conv", "shared"),
    ("Clip", "act"),
    ("Conv", "shared__2"),
    ("Clip", "act__2"),
    ("Add", "gate.add"),
    ("Sigmoid", "gate.sigmoid"),
    ("Mul", "gate.mul"),
    ("GlobalAveragePool", "pool"),
    ("Reshape", "flatten"),
    ("Gemm", "head"),
    ("Softmax", "softmax"),
]


def rows(graph: Graph) -> list[tuple[str, str]]:
    return [(node.op_type, str(node.name)) for node in graph.nodes]


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(5)
    return kind().eval()


@pytest.fixture(scope="module")
def exported() -> bytes:
    """The network of images as the file that torch's exporter writes, with its own optimizer."""
    file = io.BytesIO()
    program = torch.onnx.export(made(Images), (torch.zeros(2, 3, 8, 8),), dynamo=True, verbose=False)
    program.save(file)
    return file.getvalue()


def test_layers_of_a_module_have_the_names_of_its_modules() -> None:
    graph = ig.load(made(Images), torch.zeros(1, 3, 8, 8))
    assert rows(graph) == IMAGES
    first, folded = graph.nodes[:2]
    assert [str(value.name) for value in (*first.inputs, *first.outputs)] == [
        "x", "features.0.weight", "features.0.bias", "features.0",
    ]  # fmt: skip
    assert folded.outputs[0].name == "features.1.0.bn"  # what batch norm computed, and the convolution computes now
    assert [str(value.name) for value in graph.outputs] == ["softmax"]
    assert rows(ig.load(made(Images), torch.zeros(1, 3, 8, 8))) == IMAGES


def test_an_exported_program_and_the_exporters_file_give_the_same_names(exported: bytes) -> None:
    program = torch.export.export(made(Images), (torch.zeros(1, 3, 8, 8),))
    assert rows(ig.load(program)) == IMAGES
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    plans = [ig.quantize(model, x, calibrator="max").plan for model in (program, made(Images))]
    assert list(plans[0].values) == list(plans[1].values)
    assert "features.0.weight" in plans[0].values
    graph = ig.load(onnx.load_from_string(exported))
    assert rows(graph) == IMAGES
    assert [str(value.name) for value in graph.outputs] == ["softmax"]  # torch's name, which the file promises


def test_a_file_keeps_the_names_of_its_outputs(exported: bytes) -> None:
    model = onnx.load_from_string(exported)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["answer" if name == output.name else name for name in node.output]
    output.name = "answer"
    graph = ig.load(model)
    assert rows(graph) == IMAGES
    assert graph.outputs[0].name == "answer"


@pytest.mark.parametrize("kind", [Images, Tokens])
def test_a_prepared_graph_has_the_same_names_when_it_is_read_again(kind: type[nn.Module], tmp_path: Path) -> None:
    graph = ig.load(made(kind), torch.zeros(SIZES[kind]))
    graph.save(tmp_path / "net.onnx")
    assert b"pkg.torch.onnx.stack_trace" not in (tmp_path / "net.onnx").read_bytes()
    again = load_onnx(tmp_path / "net.onnx")
    assert rows(again) == rows(graph)
    computed = [[v.name for node in each.nodes for v in node.outputs] for each in (graph, again)]
    assert computed[0] == computed[1]


def test_the_scripted_exporters_file_keeps_its_names_and_its_modules_select_layers() -> None:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(made(Images), (torch.zeros(1, 3, 8, 8),), file, dynamo=False)
    graph = ig.load(onnx.load_from_string(file.getvalue()))
    names = [name for _, name in rows(graph)]
    first, second = (f"/features/features.1/features.1.{number}" for number in (0, 1))
    assert names[:3] == ["/features/features.0/Conv", f"{first}/conv/Conv", f"{first}/act/Relu"]
    for pattern, selected in {
        "features.0": names[:1],
        "features.1.0": [f"{first}/conv/Conv", f"{first}/act/Relu", f"{first}/Add", f"{first}/Relu"],
        "features.*.conv": [f"{first}/conv/Conv", f"{second}/conv/Conv"],
        "blocks.1.act": ["/blocks.1/act/Relu"],
        f"{second}/conv": [f"{second}/conv/Conv"],
        "head": ["/head/Gemm"],
    }.items():
        assert layers_matching(pattern, graph.nodes, names) == selected


def test_layers_of_attention_are_named_after_their_weights() -> None:
    graph = ig.load(made(Tokens), torch.zeros(1, 6, 8))
    names = {name: kind for kind, name in rows(graph)}
    products = [name for name, kind in names.items() if kind in ("Gemm", "MatMul")]
    assert products == [
        "attention.in_proj", "attention.scaled_dot_product_attention.matmul",
        "attention.scaled_dot_product_attention", "attention.out_proj", "up", "head",
    ]  # fmt: skip
    assert names["up.add"] == "Add"  # the bias of a product of three axes
    assert names["gelu"] == "Gelu"
    assert names["elu"] == "Elu"  # exported with products by 1 before and behind it
    assert names["norm"] == "LayerNormalization"
    own = ("attention", "norm", "up", "gelu", "head", "add", "mean", "elu")
    assert {name.split(".")[0].split("__")[0] for name in names} <= set(own)


@pytest.mark.parametrize("kind", [Images, Tokens])
def test_values_that_keep_their_names_keep_their_numbers(kind: type[nn.Module]) -> None:
    size = SIZES[kind]
    raw = load_torch(made(kind), torch.zeros(size))
    x = np.random.default_rng(3).normal(size=size).astype(np.float32)
    before, after = (values(graph, x) for graph in (raw, prepare(raw)))
    kept = before.keys() & after.keys()
    assert len(kept) > len(after) / 2
    for name in kept:
        if before[name].shape == after[name].shape:
            np.testing.assert_allclose(after[name], before[name], atol=1e-5, err_msg=name)


def values(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    from intaglio.simulate import Simulator

    found: dict[str, np.ndarray] = {}
    Simulator(graph).run(x, observe=lambda name, value: found.update({name: value.numpy().copy()}))
    return found


def test_other_files_keep_their_names_and_a_node_without_one_takes_that_of_its_output() -> None:
    net = Net()
    x = net.op("Relu", net.conv(net.input("x", ("N", 3, 8, 8)), 3, 4))
    model = net.output(net.op("MaxPool", x, kernel_shape=[2, 2])).model()
    wanted = [node.name for node in model.graph.node]
    assert [node.name for node in load_onnx(model).nodes] == wanted
    for node in model.graph.node:
        node.name = ""
    assert [node.name for node in load_onnx(model).nodes] == [node.output[0] for node in model.graph.node]


@pytest.mark.parametrize(
    "note", ["", "[", "'text'", "{'a': 1}", "['', 3]", "['only one']", "[" * 5000, "[" * 20_000, "__import__('os')"]
)
def test_notes_in_another_form_are_left_alone(note: str) -> None:
    net = Net()
    model = net.output(net.op("Relu", net.input("x", (1, 4)))).model()
    entry = model.graph.node[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", note
    assert [node.name for node in load_onnx(model).nodes] == [model.graph.node[0].name]


@pytest.mark.parametrize("outputs", [False, True])
def test_names_are_unique_beside_inputs_and_nodes_without_notes(outputs: bool) -> None:
    def node(op_type: str, inputs: list[ir.Value], name: str, scopes: list[str] | None) -> ir.Node:
        made = ir.Node("", op_type, inputs, name=name, outputs=[ir.Value(name=f"{name}_out")])
        if scopes is not None:
            made.metadata_props["pkg.torch.onnx.name_scopes"] = repr(scopes)
        return made

    x = ir.Value(name="act")
    first = node("Relu", [x], "n1", ["", "act", "relu"])
    plain = node("Neg", [first.outputs[0]], "head", None)
    last = node("Relu", [plain.outputs[0]], "n2", ["", "head", "relu_1"])
    graph = ir.Graph([x], [last.outputs[0]], nodes=[first, plain, last])
    name_by_modules(graph, outputs=outputs)
    assert [each.name for each in graph] == ["act__2", "head", "head__2"]
    assert [each.outputs[0].name for each in graph] == ["act__2", "head_out", "head__2" if outputs else "n2_out"]
