"""Functions of one value in evaluation: module, frozen simulation and integer program give the same numbers."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

import intaglio as ig
from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.ops import FLOAT_OPERATORS, may_be_unary
from intaglio.train import nn
from intaglio.train.nn import function_layers as functions
from intaglio.train.prepare import prepare_qat

UNARY = sorted(name for name in FLOAT_OPERATORS if may_be_unary(ir.node(name, [])))
CONSTANTS = {"Pow": (-0.5,), "Clip": (-1.7, 2.3), "PRelu": (0.3,)}
DOMAINS = {
    **dict.fromkeys(("Log", "Pow", "Sqrt"), (0.0, 8.0)),
    **dict.fromkeys(("Acos", "Asin", "Atanh"), (-1.0, 1.0)),
    "Acosh": (1.0, 8.0),
}
"""Where a function is defined; others are tried from -4 to 4."""
FUNCTIONS = sorted(
    (
        found
        for found in vars(functions).values()
        if isinstance(found, type) and hasattr(found, "op_type") and not found.__name__.startswith("_")
    ),
    key=lambda layer: layer.__name__,
)


def one_node(op_type: str, then: str | None = None) -> Graph:
    constants = {f"c{i}": np.full((), c, np.float32) for i, c in enumerate(CONSTANTS.get(op_type, ()))}
    nodes = [onnx.helper.make_node(op_type, ["x", *constants], ["between" if then else "y"], "node")]
    if then:
        nodes.append(onnx.helper.make_node(then, ["between"], ["y"], "then"))
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ("n", 64))],
        [onnx.helper.make_empty_tensor_value_info("y")],
        [onnx.numpy_helper.from_array(a, n) for n, a in constants.items()],
    )
    opset = onnx.helper.make_opsetid("", 24)
    return load_onnx(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10))


def data(op_type: str) -> torch.Tensor:
    """The ends of the domain and 0, where functions are infinite or infinitely steep, are in it."""
    low, high = DOMAINS.get(op_type, (-4.0, 4.0))
    x = low + torch.rand((256, 64), generator=torch.Generator().manual_seed(2)) * (high - low)
    x[0, :3] = torch.tensor([low, high, max(low, 0.0)])
    return x


class EveryFunction(torch.nn.Module):
    """All layers that are functions of one value, side by side."""

    def __init__(self, given: str, output: str) -> None:
        super().__init__()
        self.input = nn.Input(given)
        self.functions = torch.nn.ModuleList(layer(output) for layer in FUNCTIONS)
        self.join = nn.Concat(1, output)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.input(x)
        return self.join(*(function(x) for function in self.functions))


def assert_evaluates_to(module: torch.nn.Module, q: ig.Quantized, x: torch.Tensor) -> None:
    with torch.no_grad():
        got = np.asarray(module.eval()(x))
    for want in (q.simulate(x.numpy()), q.lower().run(x.numpy())):
        assert np.array_equal(got, want), int((got != want).sum())
    assert np.ptp(got) > 0


@pytest.mark.parametrize("target", ["cpu-int8", "int16x8", "power2-int8"])
@pytest.mark.parametrize("op_type", UNARY)
def test_a_module_in_evaluation_equals_the_frozen_network(op_type: str, target: str) -> None:
    for then in (None, "Relu"):
        if then and op_type in ("Clip", "Relu", "Sign"):
            continue  # a clamp alone swallows no other one, and nothing is fused into a sign
        qat, x = prepare_qat(one_node(op_type, then), target=target), data(op_type)
        qat(x).sum().backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in qat.parameters())
        assert_evaluates_to(qat, ig.freeze(qat), x)


def test_tables_follow_their_grids() -> None:
    """In evaluation too, and those of a copy are its own."""
    qat, x = prepare_qat(one_node("Sigmoid"), target="int16x8"), data("Sigmoid")
    qat(x)
    assert_evaluates_to(qat, ig.freeze(qat), x)
    twin = copy.deepcopy(qat)
    with torch.no_grad():
        twin.get_parameter("quantizers.x.scale").mul_(1.3)
    assert_evaluates_to(twin, ig.freeze(twin), x)
    assert_evaluates_to(qat, ig.freeze(qat), x)
    assert not torch.equal(qat(x), twin(x))


def test_slopes_per_channel_are_the_learned_ones() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.PReLU(8))
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(-0.5, 0.5, 8))
    qat, x = prepare_qat(net, torch.zeros(1, 64), target="power2-int8"), data("PRelu")
    slope = next(p for p in qat.parameters() if p.numel() == 8 and torch.equal(p.detach().flatten(), net[1].weight))
    qat(x).sum().backward()
    with torch.no_grad():
        slope.sub_(0.3 * slope.grad.sign())
    assert_evaluates_to(qat, ig.freeze(qat), x)


def test_infinite_results_leave_gradients_finite() -> None:
    """Of the data too: the logarithm of 0 saturates, and nothing is learned from it."""
    qat, x = prepare_qat(one_node("Log"), target="int16x8"), data("Log").requires_grad_()
    for _ in range(2):
        qat(x).sum().backward()
    assert all(bool(t.grad.isfinite().all()) for t in (x, *qat.parameters()) if t.grad is not None)
    assert x.grad is not None
    assert float(x.grad[0, 0]) == 0
    assert float(x.grad.abs().max()) > 0


@pytest.mark.filterwarnings("ignore:::torch")  # the compiler warns of itself
def test_compiled_code_uses_the_lookup_tables() -> None:
    qat, x = prepare_qat(one_node("Sigmoid"), target="int16x8"), data("Sigmoid")
    qat(x)
    qat.eval()
    compiled = torch.compile(qat, backend="aot_eager", fullgraph=True, dynamic=False)
    with torch.no_grad():
        assert torch.equal(compiled(x), qat(x))


@pytest.mark.parametrize("formats", [("uint8 asymmetric",) * 2, ("int16 symmetric",) * 2, ("int16 symmetric", "uint8")])
def test_layers_in_evaluation_equal_the_frozen_network(formats: tuple[str, str]) -> None:
    net, x = EveryFunction(*formats), data("Sigmoid")
    net(x).sum().backward()
    assert_evaluates_to(net, ig.freeze(net, (x[:1],)), x)
