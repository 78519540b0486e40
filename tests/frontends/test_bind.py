"""Inputs bound to constants: what follows from them is folded, and what does not fit is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from intaglio_tests.onnx_net import Net, assert_same, ops, run

from intaglio.api import load_quantized
from intaglio.errors import ModelError, UsageError
from intaglio.frontends import load
from intaglio.graph import shape

f = np.float32


def branching(kind: int = onnx.TensorProto.INT64, sizes: tuple[int | str, ...] = ()) -> onnx.ModelProto:
    """Relu at a rate of 16000, Neg otherwise; then samples as many as the rate divided by 8000."""
    net = Net()
    x = net.input("x", ("N", 4))
    rate = net.input("rate", sizes, kind)
    flat = net.op("Cast", net.op("Reshape", rate, np.array([], np.int64)), to=onnx.TensorProto.INT64)
    branches = [
        onnx.helper.make_graph(
            [onnx.helper.make_node(operator, [x], [f"{operator}.y"], name=operator)],
            operator,
            [],
            [onnx.helper.make_tensor_value_info(f"{operator}.y", onnx.TensorProto.FLOAT, None)],
        )
        for operator in ("Relu", "Neg")
    ]
    y = net.op("If", net.op("Equal", flat, np.array(16000)), then_branch=branches[0], else_branch=branches[1])
    end = net.op("Reshape", net.op("Div", flat, np.array(8000)), np.array([1]))
    return net.output(net.op("Slice", y, [0], end, [1])).model()


@pytest.mark.parametrize(
    ("kind", "sizes", "given"),
    [
        (onnx.TensorProto.INT64, (), 16000),
        (onnx.TensorProto.INT64, (), np.int32(16000)),
        (onnx.TensorProto.INT64, (), 16000.0),
        (onnx.TensorProto.INT32, (1,), 16000),
        (onnx.TensorProto.INT32, (1,), [16000]),
        (onnx.TensorProto.INT32, ("n",), np.array([16000])),
        (onnx.TensorProto.FLOAT, (), 16000),
        (onnx.TensorProto.DOUBLE, (1, 1), 16000),
    ],
)
def test_a_bound_input_folds_branches_and_sizes(
    kind: int, sizes: tuple[int | str, ...], given: Any, rng: np.random.Generator
) -> None:
    model = branching(kind, sizes)
    graph = load(model, constants={"rate": given})
    assert ops(graph) == ["Relu", "Slice"]
    assert graph.batched
    assert [value.name for value in graph.inputs] == ["x"]
    assert graph.history[0].startswith("input 'rate' is bound to the constant 16000")
    x = rng.normal(size=(1, 4)).astype(f)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    rate = np.full([1 if isinstance(size, str) else size for size in sizes], 16000, dtype)
    assert_same(run(graph, {"x": x}), run(model, {"x": x, "rate": rate}))
    assert ops(load(model, constants={"rate": np.full(rate.shape, 8000, dtype)}))[0] != "Relu"


def test_a_number_fills_a_static_shape_and_names_sizes_of_others(rng: np.random.Generator) -> None:
    net = Net()
    x, state = net.input("x", (1, "width")), net.input("state", (2, "width"))
    model = net.output(net.op("Add", x, net.op("ReduceSum", state, [0], keepdims=1))).model()
    given = rng.normal(size=(2, 5)).astype(f)
    graph = load(model, constants={"state": given})
    assert shape(graph.inputs[0]) == (1, 5)
    feed = rng.normal(size=(1, 5)).astype(f)
    assert_same(run(graph, {"x": feed}), run(model, {"x": feed, "state": given}))
    assert "array of shape (2, 5)" in graph.history[0]
    with pytest.raises(ModelError, match=r"'state': expected an array of shape \(2, width\), got one number"):
        load(model, constants={"state": 0})
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 5
    zero = load(model, shapes={"x": (1, 5)}, constants={"state": 0})
    assert_same(run(zero, {"x": feed}), [feed])
    assert "0.0 of shape (2, 5)" in zero.history[0]


def test_a_default_of_an_old_model_is_replaced(rng: np.random.Generator) -> None:
    net = Net()
    x, gain = net.input("x", (1, 3)), net.input("gain", (1,))
    model = net.output(net.op("Mul", x, gain)).model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2], f), "gain"))
    feed = rng.normal(size=(1, 3)).astype(f)
    assert_same(run(load(model), {"x": feed}), [2 * feed])
    assert_same(run(load(model, constants={"gain": 3}), {"x": feed}), [3 * feed])


@pytest.mark.parametrize(
    ("constants", "text"),
    [
        ({"rat": 1}, r"constant 'rat': expected one of the inputs \['rate', 'x'\], got no such name"),
        ({"rate": 1.5}, "constant 'rate': expected numbers of the input's type INT64, got 1.5"),
        ({"rate": float("nan")}, "constant 'rate': expected numbers of the input's type INT64, got nan"),
        ({"rate": "16000"}, "constant 'rate': expected a number or an array of numbers, got '16000'"),
        ({"rate": [1]}, r"constant 'rate': expected shape \(\), got \(1,\)"),
        ({"rate": None}, "constant 'rate': expected a number or an array of numbers, got None"),
        ({"x": [[1, 2, 3]]}, r"constant 'x': expected shape \(N, 4\), got \(1, 3\)"),
        ({"x": [[1], [2, 3]]}, "constant 'x': expected a number or an array"),
        ({"x": np.full((1, 4), np.inf)}, "constant 'x': expected finite numbers of the input's type FLOAT, got inf"),
        ({"x": np.zeros((0, 4))}, r"constant 'x': expected shape \(N, 4\), got \(0, 4\)"),
        ({"x": np.zeros((1, 4)), "rate": 1}, "expected an input to be left"),
    ],
)
def test_constants_that_do_not_fit(constants: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        load(branching(), constants=constants)


def test_what_would_be_ignored_is_refused() -> None:
    model = branching()
    with pytest.raises(ModelError, match="shape of 'rate': expected an input that is left open, got one bound"):
        load(model, shapes={"rate": ()}, constants={"rate": 16000})
    with pytest.raises(ModelError, match="got an If whose condition depends on data.*--constant rate="):
        load(model)
    graph = load(model, constants={"rate": 16000})
    for given in ({"shapes": {"x": (1, 4)}}, {"constants": {"rate": 1}}):
        (name,) = given
        with pytest.raises(UsageError, match=f"expected {name} only beside an ONNX model, got it beside a Graph"):
            load(graph, **given)
        with pytest.raises(UsageError, match=f"expected {name} only beside an ONNX model, got it beside a ReLU"):
            load(torch.nn.ReLU(), torch.zeros(1, 4), **given)
    for other in (graph, model):
        with pytest.raises(UsageError, match="expected example_inputs only beside a torch.nn.Module"):
            load(other, torch.zeros(1, 4))


def test_quantized_files_take_constants(tmp_path: Path) -> None:
    net = Net()
    x, bound = net.input("x", (1, 3)), net.input("bound", ())
    scale, zero = np.array(0.1, f), np.array(0, np.int8)

    def pair(value: str) -> str:
        return net.op("DequantizeLinear", net.op("QuantizeLinear", value, scale, zero), scale, zero)

    weight = net.op("DequantizeLinear", np.arange(6, dtype=np.int8).reshape(3, 2), scale, zero)
    y = net.op("MatMul", pair(x), weight)
    model = net.output(pair(net.op("Clip", y, "", bound))).model()
    onnx.save(model, tmp_path / "m.onnx")
    q = load_quantized(tmp_path / "m.onnx", constants={"bound": 0.5})
    assert [value.name for value in q.graph.inputs] == ["x"]
    assert q.history[0] == "input 'bound' is bound to the constant 0.5"


@pytest.mark.parametrize("name", ["silero_vad_v6_ifless", "silero_vad_v6_16k_op15"])
def test_voice_activity_at_a_bound_rate(name: str, shared_data: Path, rng: np.random.Generator) -> None:
    path = shared_data / "packaged" / f"{name}.onnx"
    graph = load(path, shapes={"input": (1, 576)}, constants={"sr": 16000})
    kinds = ops(graph)
    assert "If" not in kinds
    assert sorted(value.name for value in graph.inputs) == ["input", "state"]
    feeds = {"input": rng.normal(size=(1, 576)).astype(f) / 10, "state": rng.normal(size=(2, 1, 128)).astype(f)}
    wanted = run(onnx.load(path), {**feeds, "sr": np.array(16000)})
    assert_same(run(graph, feeds), wanted, 1e-4)
