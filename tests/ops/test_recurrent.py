"""Layers that loop over time: as ONNX Runtime computes them, and in integers on every target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from intaglio_tests.onnxruntime_session import session
from intaglio_tests.operator_nets import lowered
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import intaglio as ig
from intaglio.errors import ExportError, IntaglioError
from intaglio.export import export_qdq
from intaglio.graph.time_loops import is_loop
from intaglio.program.operators.lstm import Lstm
from intaglio.simulate import Simulator
from intaglio.targets import BUILTIN, load_target

STEPS, SAMPLES, DATA, UNITS = 6, 2, 5, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(op_type: str, *, states: str = "", lengths: Sequence[int] = (), **attributes: Any) -> onnx.ModelProto:
    """A model of one layer; its initial states are inputs, constants or left out ("")."""
    rng = np.random.default_rng(3)
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    k, h = GATES[op_type] * UNITS, UNITS

    def normal(*size: int) -> np.ndarray[Any, Any]:
        return rng.normal(0, 0.6, size).astype(np.float32)

    constants = {"w": normal(count, k, DATA), "r": normal(count, k, h), "b": normal(count, 2 * k)}
    inputs = {"x": (STEPS, SAMPLES, DATA)}
    names = ["x", "w", "r", "b", "lengths" if lengths else ""]
    if lengths:
        constants["lengths"] = np.array(lengths, np.int32)
    for name in ["h0", "c0"][: 1 + (op_type == "LSTM")] if states else []:
        names.append(name)
        if states == "inputs":
            inputs[name] = (count, SAMPLES, h)
        else:
            constants[name] = np.repeat(normal(count, 1, h), SAMPLES, 1)
    outputs = {"y": (STEPS, count, SAMPLES, h), "yh": (count, SAMPLES, h)}
    if op_type == "LSTM":
        outputs["yc"] = (count, SAMPLES, h)
    node = helper.make_node(op_type, names, list(outputs), "layer", hidden_size=h, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


FORMS = {
    "lstm": layer("LSTM"),
    "lstm-reverse-clip": layer("LSTM", direction="reverse", clip=0.7),
    "lstm-both-inputs": layer("LSTM", direction="bidirectional", states="inputs"),
    "lstm-constants": layer("LSTM", states="constants", lengths=[STEPS] * SAMPLES),
    "gru": layer("GRU", states="constants"),
    "gru-reverse-clip": layer("GRU", direction="reverse", linear_before_reset=1, clip=0.9),
    "gru-both-inputs": layer("GRU", direction="bidirectional", linear_before_reset=1, states="inputs"),
    "rnn": layer("RNN", states="inputs"),
    "rnn-both": layer("RNN", direction="bidirectional", states="constants"),
    "rnn-relu": layer("RNN", activations=["Relu"], clip=2.5),
}


def feed(graph: Any) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {
        str(value.name): rng.normal(0, 0.8, [int(n) for n in value.shape]).astype(np.float32) for value in graph.inputs
    }


@pytest.mark.parametrize("name", FORMS)
def test_real_matches_onnx_runtime(name: str) -> None:
    graph = ig.load(FORMS[name])
    assert any(map(is_loop, graph.nodes))
    data = feed(graph)
    got = Simulator(graph, device="cpu")({key: torch.as_tensor(x) for key, x in data.items()})
    for value, want in zip(graph.outputs, session(FORMS[name]).run(None, data), strict=True):
        np.testing.assert_allclose(got[str(value.name)].numpy(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_a_graph_is_written_with_the_layers_of_onnx(name: str) -> None:
    graph = ig.load(FORMS[name])
    data = feed(graph)
    proto = graph.proto()
    assert not any(node.domain for node in proto.graph.node)
    for got, want in zip(session(proto).run(None, data), session(FORMS[name]).run(None, data), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def sqnr(got: Any, want: Any) -> float:
    return float(10 * np.log10((want**2).mean() / max(((got - want) ** 2).mean(), 1e-20)))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("target", ["cpu-int8", "int16x8"])
def test_program_follows_the_float_layer_and_is_simulated_exactly(name: str, target: str) -> None:
    graph = ig.load(FORMS[name])
    data = feed(graph)
    made = lowered(graph, target, data)
    assert set(made.kinds()) & {"lstm", "gru", "rnn"}
    simulated = Simulator(graph, made.plan, "cpu").run(*data.values())
    got, want = made.program.run(*data.values()), session(FORMS[name]).run(None, data)
    for y, simulation, real in zip(got, simulated, want, strict=True):
        np.testing.assert_allclose(y, simulation, atol=1e-6)
        assert sqnr(y.reshape(real.shape), real) > (25 if target == "cpu-int8" else 40)


@pytest.mark.parametrize("target", ["cpu-int8", "int16x8"])
def test_a_cell_state_of_a_wide_range_keeps_the_accuracy(target: str) -> None:
    """Gates that stay open let the cell state reach 60, while most states are about 1, where tanh bends."""
    model = layer("LSTM", states="inputs")
    graph = ig.load(model)
    data = feed(graph)
    data["c0"] = np.linspace(-1.5, 1.5, data["c0"].size).reshape(data["c0"].shape).astype(np.float32)
    data["c0"].flat[0] = 60.0
    made = lowered(graph, target, data)
    loops = [node.operator for node in made.program.nodes if isinstance(node.operator, Lstm)]
    assert [op.finer is not None for op in loops] == [True]
    got, want = made.program.run(*data.values()), session(model).run(None, data)
    assert sqnr(got[0].reshape(want[0].shape), want[0]) > (25 if target == "cpu-int8" else 33)
    native = ig.compile(made.program, machine="portable")
    for a, b in zip(got, native.run(*data.values()), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("target", BUILTIN)
def test_every_target_has_the_layers(target: str) -> None:
    for name in ("lstm-both-inputs", "gru", "rnn"):
        graph = ig.load(FORMS[name])
        data = feed(graph)
        made = lowered(graph, target, data)
        want = session(FORMS[name]).run(None, data)[0]
        found = sqnr(made.program.run(*data.values())[0].reshape(want.shape), want)
        assert found > (0 if load_target(target).weights[0].type.bits < 4 else 12), name


def test_native_returns_the_same_integers(tmp_path: Path) -> None:
    for name in ("lstm-both-inputs", "gru-both-inputs", "rnn"):
        graph = ig.load(FORMS[name])
        data = feed(graph)
        made = lowered(graph, "cpu-int8", data)
        native = ig.compile(made.program, machine="portable", directory=tmp_path / name)
        for a, b in zip(made.program.run(*data.values()), native.run(*data.values()), strict=True):
            np.testing.assert_array_equal(a, b)


class Step(nn.Module):
    """One step, whose states are outputs as the loop gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(DATA, UNITS, batch_first=True)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
        y, (h, c) = self.layer(x, (h, c))
        return y, h, c


def test_states_that_are_outputs_are_measured_in_their_own_shape() -> None:
    zero = torch.zeros(1, 1, UNITS)
    graph = ig.load(Step().eval(), (torch.zeros(1, 1, DATA), zero, zero))
    rng = np.random.default_rng(0)
    sizes = {"x": DATA, "h": UNITS, "c": UNITS}
    data = {name: rng.normal(0, 0.5, (24, 1, size)).astype(np.float32) for name, size in sizes.items()}
    assert ig.quantize(graph, data, rounding="nearest").lower().run(*data.values())[1].shape == (24, 1, UNITS)


class Tagger(nn.Module):
    """Two layers in both directions, and one more of which only the last state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.LSTM(DATA, UNITS, num_layers=2, batch_first=True, bidirectional=True)
        self.last = nn.GRU(2 * UNITS, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.layers(x)
        _, last = self.last(hidden)
        return self.head(last[-1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [True, False])
def test_exported_layers_keep_the_batch_in_front_and_have_no_transposes(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = Tagger().eval(), torch.randn(1, STEPS, DATA)
    if dynamo:
        graph = ig.load(module, x)
    else:
        torch.onnx.export(
            module, (x,), tmp_path / "m.onnx", dynamo=False, dynamic_axes={"input": {0: "n"}}, input_names=["input"]
        )
        graph = ig.load(tmp_path / "m.onnx")
    assert graph.batched
    assert sum(map(is_loop, graph.nodes)) == 5
    assert "Transpose" not in {node.op_type for node in graph.nodes}
    many = torch.randn(7, STEPS, DATA)
    (got,) = Simulator(graph, device="cpu").run(many.numpy())
    np.testing.assert_allclose(got, module(many).detach().numpy(), atol=1e-5)


def test_cell_state_and_sums_have_sixteen_bits() -> None:
    graph = ig.load(FORMS["lstm-both-inputs"])
    plan = lowered(graph, "mcu-int8", feed(graph)).plan
    loop = next(node for node in graph.nodes if is_loop(node))
    kinds = [str(plan[str(value.name)].format) for value in (loop.inputs[0], loop.inputs[1], *loop.outputs)]
    assert kinds == [
        "int16 symmetric per tensor",
        "int8n symmetric per channel",
        "int8 asymmetric per tensor",
        "int16 power_of_two per tensor",
    ]
    assert plan["c0"].format == plan[str(loop.inputs[0].name)].format


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (layer("LSTM", lengths=[STEPS, 2]), r"expected sequence_lens that are constant and 6.*got \[6, 2\]"),
        (
            layer("GRU", activations=["Sigmoid", "Softsign"]),
            "expected the activations Sigmoid, Tanh, got Sigmoid, Softs",
        ),
        (layer("LSTM", input_forget=1), "input_forget .* is not supported"),
    ],
)
def test_other_forms_are_refused_by_name(model: onnx.ModelProto, text: str) -> None:
    with pytest.raises(IntaglioError, match=rf"LSTM|GRU.*'layer'.*{text}"):
        ig.quantize(ig.load(model), [feed(ig.load(model))["x"]], target="cpu-int8")


def test_qdq_is_refused_by_name(tmp_path: Path) -> None:
    graph = ig.load(FORMS["lstm"])
    plan = lowered(graph, "cpu-int8", feed(graph)).plan
    with pytest.raises(ExportError, match=r"LSTM 'layer'.*got a loop over time.*compile it to C"):
        export_qdq(graph, plan, tmp_path / "m.onnx")
