"""What quantized files look like: each form by hand, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests.qdq_net import Net, run_ort

from intaglio.frontends.quantized.load import load_quantized_graph
from intaglio.frontends.quantized.scales import with_gain
from intaglio.graph import Graph
from intaglio.lower import lower
from intaglio.number import INT8, INT8_NARROW, INT16, INT32, UINT8, IntType, PerChannel, PerTensor, QuantParams
from intaglio.plan import Plan, Source
from intaglio.simulate import Simulator

U8, S8 = np.uint8, np.int8


def loaded(model: onnx.ModelProto, folder: Path) -> tuple[Graph, Plan, list[str], Path]:
    path = folder / "theirs.onnx"
    onnx.save(model, path)
    return *load_quantized_graph(path), path


def assert_like_onnxruntime(model: onnx.ModelProto, folder: Path, steps: float = 1.001, scale: float = 0.05) -> Any:
    """Load, lower, run, and compare the first output in steps of `scale`; returns (graph, plan, history)."""
    graph, plan, history, path = loaded(model, folder)
    shape = [int(s) for s in graph.inputs[0].shape.numpy()]
    x = np.random.default_rng(5).standard_normal([16 * shape[0], *shape[1:]]).astype(np.float32)
    program = lower(graph, plan)
    ours = program.run(x)
    ours = ours[0] if isinstance(ours, tuple) else ours
    # Without its optimizer: ONNX Runtime drops pairs of QuantizeLinear and DequantizeLinear that it thinks redundant.
    theirs = run_ort(path, x, "ORT_DISABLE_ALL")
    assert np.abs(ours - theirs).max() <= steps * scale
    assert np.abs(theirs).max() > 5 * scale
    return graph, plan, history


def quantized_input(net: Net) -> str:
    return net.pair("x", 0.03, S8(0))


def integers(net: Net, *shape: int, low: int = -127, high: int = 127) -> np.ndarray:
    return net.rng.integers(low, high + 1, shape).astype(S8)


def codes_of(graph: Graph, plan: Plan, node: str, index: int = 1) -> np.ndarray:
    value = graph.node(node).inputs[index]
    params = plan.params(str(value.name))  # type: ignore[union-attr]
    assert params is not None
    return params.quantize(value.const_value.numpy())  # type: ignore[union-attr]


@pytest.mark.parametrize("stored", ["float", "integers"])
def test_weights_of_few_bits_behind_a_clip(stored: str, tmp_path: Path) -> None:
    """As Brevitas writes: weights of few bits, real or integers, clipped in the file; the bias not quantized."""
    net = Net()
    x = quantized_input(net)
    real = net.normal(8, 4, 3, 3)
    scale = (np.abs(real).max((1, 2, 3)) / 7).astype(np.float32)
    codes: Any = np.clip(np.rint(real / scale.reshape(-1, 1, 1, 1)), -7, 7).astype(S8)
    if stored == "float":
        codes = net.op("QuantizeLinear", real, scale, np.zeros(8, S8), axis=0)
    clipped = net.op("Clip", codes, S8(-7), S8(7))
    weight = net.op("DequantizeLinear", clipped, scale, np.zeros(8, S8), axis=0)
    y = net.op("Relu", net.op("Conv", x, weight, net.normal(8), out="c"), out="r")
    few = net.op("Clip", net.op("QuantizeLinear", y, np.float32(0.2), U8(0)), U8(0), U8(15))
    y = net.op("DequantizeLinear", few, np.float32(0.2), U8(0))
    net.op("Conv", y, net.codes(integers(net, 4, 8, 1, 1), 0.01), out="y")
    graph, plan, history = assert_like_onnxruntime(net.model(("N", 4, 6, 6), "y"), tmp_path, scale=0.2)
    first = str(graph.node("n_c").inputs[1].name)
    assert plan.params(first).type == IntType(4, narrow=True)  # type: ignore[union-attr]
    assert plan.params(first).granularity == PerChannel(0)  # type: ignore[union-attr]
    np.testing.assert_array_equal(
        codes_of(graph, plan, "n_c"), np.clip(np.rint(real / scale.reshape(-1, 1, 1, 1)), -7, 7)
    )
    assert plan["c"].source is Source.FUSED
    assert plan.params("r").type == IntType(4, signed=False)  # type: ignore[union-attr]
    assert plan.params(str(graph.node("n_c").inputs[2].name)).type == INT32  # type: ignore[union-attr]
    assert plan.params("y").type == INT16  # type: ignore[union-attr]
    assert any("'y' is float in the file: held in 16 bits" in line for line in history)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("op_type", ["MatMul", "Gemm"])
def test_a_weight_that_is_transposed_after_its_dequantize(op_type: str, per_channel: bool, tmp_path: Path) -> None:
    net = Net()
    x = quantized_input(net)
    codes = integers(net, 5, 12)
    scale = net.rng.uniform(0.002, 0.01, 5) if per_channel else 0.005
    weight = net.op("Transpose", net.codes(codes, scale, 0 if per_channel else None), perm=[1, 0])
    bias = [net.normal(5)] if op_type == "Gemm" else []
    y = net.op(op_type, x, weight, *bias, out="product")
    net.pair(y, 0.05, S8(0), out="y")
    graph, plan, _ = assert_like_onnxruntime(net.model(("N", 12), "y"), tmp_path)
    params = plan.params(str(graph.node("n_product").inputs[1].name))
    assert params is not None
    assert params.granularity == (PerChannel(1) if per_channel else PerTensor())
    np.testing.assert_array_equal(codes_of(graph, plan, "n_product"), codes.T)


def test_weights_are_shared_and_dequantized_once(tmp_path: Path) -> None:
    net = Net()
    x = quantized_input(net)
    weight = net.codes(integers(net, 4, 4, 1, 1), 0.005, out="w")
    x = net.pair(net.op("Conv", x, weight), 0.05, S8(3))
    net.pair(net.op("Conv", x, weight), 0.05, S8(0), out="y")
    assert_like_onnxruntime(net.model(("N", 4, 5, 5), "y"), tmp_path)


def test_inputs_and_outputs_of_codes(tmp_path: Path) -> None:
    net = Net()
    real = net.op("DequantizeLinear", "x", np.float32(0.02), U8(128))
    y = net.op("Conv", real, net.codes(integers(net, 4, 4, 1, 1), 0.01))
    net.op("QuantizeLinear", y, np.float32(0.05), S8(-3), out="y")
    model = net.model(("N", 4, 5, 5), "y")
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT8
    graph, plan, history, path = loaded(model, tmp_path)
    assert any("input 'x' takes codes" in line for line in history)
    assert any("output 'y' is given as codes" in line for line in history)
    program = lower(graph, plan)
    codes = net.rng.integers(0, 256, (8, 4, 5, 5)).astype(U8)
    difference = program.run_int(codes).astype(int) - run_ort(path, codes, "ORT_DISABLE_ALL").astype(int)
    assert np.abs(difference).max() <= 1


def test_codes_that_are_moved_before_they_are_read(tmp_path: Path) -> None:
    net = Net()
    x = net.op("QuantizeLinear", "x", np.float32(0.03), S8(-5))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Pad", x, np.array([0, 0, 1, 1, 0, 0, 0, 0]), S8(-5))
    x = net.op("Transpose", x, perm=[0, 2, 3, 1])
    x = net.op("Reshape", x, np.array([0, -1]))
    x = net.op("DequantizeLinear", x, np.float32(0.03), S8(-5))
    net.pair(net.op("Gemm", x, net.codes(integers(net, 64, 3), 0.003)), 0.05, S8(0), out="y")
    graph, plan, _ = assert_like_onnxruntime(net.model(("N", 4, 6, 6), "y"), tmp_path)
    assert [n.op_type for n in graph.nodes] == ["MaxPool", "Pad", "Transpose", "Reshape", "Gemm"]
    assert plan[str(graph.nodes[3].outputs[0].name)].source is Source.SHARED


def test_padding_with_another_code_than_the_zero_point(tmp_path: Path) -> None:
    net = Net()
    x = net.op("QuantizeLinear", "x", np.float32(0.03), S8(-5))
    x = net.op("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), S8(40))
    x = net.op("DequantizeLinear", x, np.float32(0.03), S8(-5))
    net.pair(net.op("Conv", x, net.codes(integers(net, 3, 4, 3, 3), 0.003)), 0.05, S8(0), out="y")
    assert_like_onnxruntime(net.model(("N", 4, 6, 6), "y"), tmp_path)


def test_a_value_on_two_grids(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Conv", quantized_input(net), net.codes(integers(net, 4, 4, 1, 1), 0.01), out="c")
    first, second = net.pair(x, 0.04, S8(0)), net.pair(x, 0.05, S8(10))
    net.pair(net.op("Add", first, net.op("Relu", second, out="r")), 0.1, S8(0), out="y")
    _, plan, history = assert_like_onnxruntime(net.model(("N", 4, 5, 5), "y"), tmp_path, scale=0.1)
    assert any("'c' is read on several grids" in line for line in history)
    assert plan.params("c").type == INT16  # type: ignore[union-attr]


@pytest.mark.parametrize("op_type", ["MaxPool", "Transpose", "Flatten"])
def test_a_move_to_another_grid_is_a_move_and_a_requantization(op_type: str, tmp_path: Path) -> None:
    net = Net()
    attributes: dict[str, Any] = {
        "MaxPool": {"kernel_shape": [2, 2]},
        "Transpose": {"perm": [0, 2, 1, 3]},
        "Flatten": {},
    }[op_type]
    x = net.op(op_type, quantized_input(net), out="moved", **attributes)
    net.pair(x, 0.05, S8(2), out="y")
    graph, plan, history = assert_like_onnxruntime(net.model(("N", 3, 4, 4), "y"), tmp_path)
    assert [n.op_type for n in graph.nodes] == [op_type, "Clip"]
    assert any("moves integers to another grid" in line for line in history)
    assert float(plan.params("y").scale) == np.float32(0.05)  # type: ignore[union-attr]


def test_moves_without_parameters_take_those_of_their_neighbours(tmp_path: Path) -> None:
    net = Net()
    x = net.op(
        "Relu", net.op("Conv", quantized_input(net), net.codes(integers(net, 4, 4, 1, 1), 0.01), out="c"), out="r"
    )
    x = net.op("MaxPool", x, out="p", kernel_shape=[2, 2], strides=[2, 2])
    x = net.pair(x, 0.02, U8(0))
    x = net.op("Flatten", net.op("Transpose", x, perm=[0, 1, 3, 2], out="t"), out="f")
    net.pair(net.op("Gemm", x, net.codes(integers(net, 16, 3), 0.01)), 0.05, S8(0), out="y")
    _, plan, _ = assert_like_onnxruntime(net.model(("N", 4, 4, 4), "y"), tmp_path)
    assert [plan[n].source for n in "crptf"] == [
        Source.FUSED,
        Source.SHARED,
        Source.OWN,
        Source.SHARED,
        Source.SHARED,
    ]


def test_a_function_fused_into_a_product_gets_sixteen_bits_before_it(tmp_path: Path) -> None:
    """As NNCF writes: Conv and LeakyRelu, or Conv and a SiLU in parts, with one quantizer behind both."""
    net = Net()
    x = net.op("Conv", quantized_input(net), net.codes(integers(net, 4, 4, 3, 3), 0.005), net.normal(4), out="c")
    x = net.pair(net.op("LeakyRelu", x, alpha=0.1), 0.03, S8(0))
    x = net.op("Conv", x, net.codes(integers(net, 4, 4, 1, 1), 0.01), out="d")
    x = net.pair(net.op("Mul", x, net.op("Sigmoid", x), out="s"), 0.05, S8(-120), out="y")
    graph, plan, history = assert_like_onnxruntime(net.model(("N", 4, 6, 6), "y"), tmp_path, steps=2.001)
    assert [n.op_type for n in graph.nodes] == ["Conv", "LeakyRelu", "Conv", "Swish"]
    assert plan.params("c").type == INT16  # type: ignore[union-attr]
    assert sum("held in 16 bits" in line for line in history) == 2
    # Not wider than what the quantized result can tell apart: LeakyRelu reaches 127 steps of 0.03, or -128 / 0.1.
    assert float(plan.params("c").range[1]) < 39.0  # type: ignore[union-attr]


def test_activations_that_the_file_leaves_float(tmp_path: Path) -> None:
    """As ONNX Runtime writes where only products are quantized."""
    net = Net()
    x = net.op("Conv", quantized_input(net), net.codes(integers(net, 4, 4, 1, 1), 0.005), net.normal(4))
    x = net.op("Relu", net.op("Add", net.pair(x, 0.05, S8(0)), net.pair("x", 0.03, S8(0)), out="a"), out="r")
    x = net.op("GlobalAveragePool", net.op("MaxPool", x, kernel_shape=[2, 2], out="p"), out="g")
    net.pair(x, 0.01, U8(0), out="y")
    _, plan, _ = assert_like_onnxruntime(net.model(("N", 4, 6, 6), "y"), tmp_path, scale=0.01)
    assert [plan[name].source for name in "arpy"] == [Source.FUSED, Source.FIXED, Source.SHARED, Source.OWN]


def test_float_operands_and_sums_between(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Add", net.op("Mul", quantized_input(net), net.normal(1, 4, 1, 1)), np.float32(0.25))
    net.pair(net.op("Concat", x, quantized_input(net), axis=1), 0.05, S8(0), out="y")
    _, _, history = assert_like_onnxruntime(net.model(("N", 4, 3, 3), "y"), tmp_path)
    assert sum("its constant" in line for line in history) == 2


@pytest.mark.parametrize("per_channel", [True, False])
def test_batch_normalization_goes_into_the_scales(per_channel: bool, tmp_path: Path) -> None:
    net = Net()
    codes = integers(net, 4, 3, 3, 3)
    scale = net.rng.uniform(0.004, 0.01, 4) if per_channel else 0.006
    x = net.op("Conv", quantized_input(net), net.codes(codes, scale, 0 if per_channel else None), out="c")
    gain = np.array([1.5, -0.7, 0.0, 0.2], np.float32)
    x = net.op("BatchNormalization", x, gain, net.normal(4), net.normal(4), np.full(4, 0.8, np.float32), out="b")
    net.pair(net.op("Relu", x, out="r"), 0.05, U8(0), out="y")
    graph, plan, _ = assert_like_onnxruntime(net.model(("N", 3, 6, 6), "y"), tmp_path)
    assert [n.op_type for n in graph.nodes] == ["Conv", "Relu"]
    sign = np.array([1, -1, 0, 1]).reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(codes_of(graph, plan, "n_c"), codes * sign)


def test_batch_normalization_that_codes_have_no_room_for_stays(tmp_path: Path) -> None:
    net = Net()
    codes = integers(net, 4, 3, 3, 3)
    codes[1, 0, 0, 0] = -128  # has no negative
    x = net.op("Conv", quantized_input(net), net.codes(codes, 0.006), out="c")
    gain = np.array([1.5, -0.7, 0.3, 0.2], np.float32)
    x = net.op("BatchNormalization", x, gain, net.normal(4), net.normal(4), np.full(4, 0.8, np.float32), out="b")
    net.pair(x, 0.05, S8(0), out="y")
    graph, plan, _ = assert_like_onnxruntime(net.model(("N", 3, 6, 6), "y"), tmp_path)
    assert [n.op_type for n in graph.nodes] == ["Conv", "BatchNormalization"]
    np.testing.assert_array_equal(codes_of(graph, plan, "n_c"), codes)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_scale_per_channel_before_a_depthwise_convolution(multiplier: int, tmp_path: Path) -> None:
    """As NNCF writes."""
    net = Net()
    first, second = integers(net, 4, 3, 1, 1), integers(net, 4 * multiplier, 1, 3, 3)
    x = net.op(
        "Conv", quantized_input(net), net.codes(first, net.rng.uniform(0.01, 0.02, 4), 0), net.normal(4), out="c"
    )
    x = net.op("Clip", x, np.float32(0), np.float32(6), out="r")
    scale = np.array([0.02, 0.005, 0.0101, 0.0005], np.float32)
    x = net.op("QuantizeLinear", x, scale, np.zeros(4, U8), axis=1)
    x = net.op("DequantizeLinear", x, scale, np.zeros(4, U8), axis=1)
    weight = net.codes(second, net.rng.uniform(0.004, 0.01, 4 * multiplier), 0)
    x = net.op("Conv", x, weight, net.normal(4 * multiplier), out="d", group=4)
    net.pair(x, 0.05, S8(0), out="y")
    graph, plan, history = assert_like_onnxruntime(net.model(("N", 3, 6, 6), "y"), tmp_path)
    assert any("'r' has a scale per channel" in line for line in history)
    assert plan.params("r").granularity == PerTensor()  # type: ignore[union-attr]
    np.testing.assert_array_equal(codes_of(graph, plan, "n_c"), first)
    np.testing.assert_array_equal(codes_of(graph, plan, "n_d"), second)


def test_a_bias_on_another_grid_moves_to_the_accumulator(tmp_path: Path) -> None:
    net = Net()
    bias = net.op("DequantizeLinear", net.rng.integers(-9000, 9000, 4).astype(np.int32), np.float32(1e-4))
    x = net.op("Conv", quantized_input(net), net.codes(integers(net, 4, 3, 1, 1), 0.01), bias, out="c")
    net.pair(x, 0.05, S8(0), out="y")
    graph, plan, _ = assert_like_onnxruntime(net.model(("N", 3, 4, 4), "y"), tmp_path)
    assert "another grid in the file" in plan[str(graph.node("n_c").inputs[2].name)].why


def test_large_biases_keep_their_codes(tmp_path: Path) -> None:
    """Codes beyond 2**24 are not all float32 numbers; rounding once leads back to those that came from one."""
    net = Net()
    real = net.rng.uniform(-20, 20, 256).astype(np.float32)
    scale = np.float32(0.03) * np.float32(1e-6)
    codes = np.rint(real.astype(np.float64) / scale).astype(np.int32)
    assert np.abs(codes).max() > 1 << 25
    bias = net.op("DequantizeLinear", codes, scale)
    net.pair(
        net.op("Conv", quantized_input(net), net.codes(integers(net, 256, 3, 1, 1), 1e-6), bias, out="c"),
        0.2,
        S8(0),
        out="y",
    )
    graph, plan, *_ = loaded(net.model(("N", 3, 4, 4), "y"), tmp_path)
    value = graph.node("n_c").inputs[2]
    found = np.rint(value.const_value.numpy().astype(np.float64) / plan.params(str(value.name)).scale)  # type: ignore
    np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize("opset", [10, 12, 13, 19, 21, 24])
def test_every_opset_and_no_zero_point(opset: int, tmp_path: Path) -> None:
    net = Net(opset=opset)
    x = net.op("Relu", net.op("Conv", quantized_input(net), net.codes(integers(net, 4, 3, 1, 1), 0.01), out="c"))
    codes = net.op("QuantizeLinear", x, np.float32(0.02))
    x = net.op("DequantizeLinear", codes, np.float32(0.02), out="r")
    net.pair(net.op("Conv", x, net.codes(integers(net, 2, 4, 1, 1), 0.01)), 0.05, S8(0), out="y")
    _, plan, _ = assert_like_onnxruntime(net.model(("N", 3, 4, 4), "y"), tmp_path)
    assert plan.params("relu4").type == IntType(8, signed=False)  # type: ignore[union-attr]


def test_an_input_that_is_moved_before_it_is_quantized(tmp_path: Path) -> None:
    net = Net()
    x = net.pair(net.op("Transpose", "x", perm=[0, 3, 1, 2], out="t"), 0.03, S8(0))
    net.pair(net.op("Conv", x, net.codes(integers(net, 4, 3, 1, 1), 0.01)), 0.05, S8(0), out="y")
    graph, plan, _ = assert_like_onnxruntime(net.model(("N", 4, 4, 3), "y"), tmp_path)
    assert plan["x"].source is Source.OWN  # what enters the network has parameters of its own
    assert plan["t"].source is Source.SHARED
    Simulator(graph, plan).run(np.zeros((2, 4, 4, 3), np.float32))


def test_what_was_read_is_a_plan_like_any_other(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Relu", net.op("Conv", quantized_input(net), net.codes(integers(net, 4, 3, 1, 1), 0.01), out="c"))
    net.pair(net.op("MaxPool", x, kernel_shape=[2, 2]), 0.05, U8(0), out="y")
    graph, plan, *_ = loaded(net.model(("N", 3, 4, 4), "y"), tmp_path)
    again = Plan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    x = net.rng.standard_normal((8, 3, 4, 4)).astype(np.float32)
    real, integer = Simulator(graph, again).run(x)[0], lower(graph, again).run(x)
    assert np.abs(real - integer).max() < 0.051


@pytest.mark.parametrize(
    ("kind", "codes", "folds"),
    [
        (INT8, [-127, 127], True),
        (INT8, [-128, 127], False),
        (INT8_NARROW, [-127, 127], True),
        (IntType.parse("int2n"), [-1, 1], True),
        (UINT8, [1, 2], False),
    ],
)
def test_a_negative_gain_negates_every_code_that_has_a_negative(kind: IntType, codes: list[int], folds: bool) -> None:
    params = QuantParams(kind, np.float32(0.5), 0)
    weight = np.array([codes, codes], np.int32)
    changed = with_gain(params, weight, np.array([-2.0, 3.0]), 0)
    if not folds:
        assert changed is None
        return
    real, made = changed
    np.testing.assert_array_equal(made.quantize(real), weight * [[-1], [1]])
    np.testing.assert_allclose(real, 0.5 * weight * [[-2.0], [3.0]])
