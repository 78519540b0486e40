"""Files that cannot become integers only: one clear error each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from intaglio_tests.qdq_net import Net, run_ort, small_net

from intaglio.errors import LoweringError, ModelError, UnsupportedOperatorError
from intaglio.frontends.quantized.load import load_quantized_graph
from intaglio.lower import lower
from intaglio.number import PerChannel

S8, U8 = np.int8, np.uint8


def weight(net: Net, *shape: int) -> str:
    return net.codes(net.rng.integers(-127, 128, shape).astype(S8), 0.01)


def nothing_quantized(net: Net) -> str:
    return net.op("Relu", "x", out="y")


def dynamic(net: Net) -> str:
    net.nodes.append(onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="dynamic"))
    return net.op("DequantizeLinear", "q", "s", "z", out="y")


def computed_scale(net: Net) -> str:
    scale = net.op("ReduceMax", net.op("Abs", "x"), keepdims=0)
    return net.op("DequantizeLinear", net.op("QuantizeLinear", "x", scale, S8(0)), scale, S8(0), out="y")


def float_weight(net: Net) -> str:
    x = net.pair("x", 0.1, S8(0))
    return net.pair(net.op("Conv", x, net.normal(4, 3, 1, 1), out="c"), 0.1, S8(0), out="y")


def float_input(net: Net) -> str:
    return net.pair(net.op("Conv", "x", weight(net, 4, 3, 1, 1), out="c"), 0.1, S8(0), out="y")


def float_island(net: Net) -> str:
    x = net.op("Conv", net.pair("x", 0.1, S8(0)), weight(net, 4, 3, 1, 1), out="c")
    x = net.op("Abs", net.op("Reciprocal", x, out="island"))
    return net.pair(x, 0.1, S8(0), out="y")


def two_readings(net: Net) -> str:
    codes = net.op("QuantizeLinear", "x", np.float32(0.1), S8(0))
    return net.op("DequantizeLinear", codes, np.float32(0.2), S8(0), out="y")


def computing_with_codes(net: Net) -> str:
    codes = net.op("QuantizeLinear", "x", np.float32(0.1), S8(0))
    return net.op("DequantizeLinear", net.op("Abs", codes, out="a"), np.float32(0.1), S8(0), out="y")


def codes_of_two_grids(net: Net) -> str:
    first = net.op("QuantizeLinear", "x", np.float32(0.1), S8(0))
    second = net.op("QuantizeLinear", "x", np.float32(0.2), S8(0))
    joined = net.op("Concat", first, second, out="j", axis=1)
    return net.op("DequantizeLinear", joined, np.float32(0.1), S8(0), out="y")


def channels_meet(net: Net) -> str:
    x = net.op("Conv", net.pair("x", 0.1, S8(0)), weight(net, 3, 3, 1, 1), out="c")
    scale = np.array([0.1, 0.2, 0.3], np.float32)
    x = net.op("QuantizeLinear", x, scale, np.zeros(3, S8), axis=1)
    x = net.op("DequantizeLinear", x, scale, np.zeros(3, S8), axis=1)
    return net.pair(net.op("Conv", x, weight(net, 4, 3, 1, 1), out="d"), 0.1, S8(0), out="y")


def scales_along_inputs(net: Net) -> str:
    codes = net.codes(net.rng.integers(-127, 128, (4, 3, 1, 1)).astype(S8), [0.1, 0.2, 0.3], axis=1, out="w")
    return net.pair(net.op("Conv", net.pair("x", 0.1, S8(0)), codes, out="c"), 0.1, S8(0), out="y")


def operand_per_channel(net: Net) -> str:
    codes = net.codes(net.rng.integers(-127, 128, (1, 3, 1, 1)).astype(S8), [0.1, 0.2, 0.3], axis=1, out="w")
    return net.pair(net.op("Mul", net.pair("x", 0.1, S8(0)), codes, out="m"), 0.1, S8(0), out="y")


def blocks_of_an_activation(net: Net) -> str:
    scale, zero = np.full((1, 3, 4, 2), 0.1, np.float32), np.zeros((1, 3, 4, 2), S8)
    codes = net.op("QuantizeLinear", "x", scale, zero, axis=3, block_size=2)
    return net.op("DequantizeLinear", codes, scale, zero, axis=-1, block_size=2, out="y")


def blocks_along_a_strange_axis(net: Net) -> str:
    scale, zero = np.full((1, 3, 4, 2), 0.1, np.float32), np.zeros((1, 3, 4, 2), S8)
    return net.op("DequantizeLinear", net.op("QuantizeLinear", "x", scale, zero, axis=4, block_size=2), scale, out="y")


def zero_scale(net: Net) -> str:
    return net.pair("x", 0.0, S8(0), out="y")


def unknown_operator(net: Net) -> str:
    return net.pair(net.op("Det", net.pair("x", 0.1, S8(0)), out="d"), 0.1, S8(0), out="y")


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (nothing_quantized, "expected a network that another tool quantized, got one without QuantizeLinear"),
        (dynamic, r"\[DynamicQuantizeLinear 'dynamic'\] expected parameters that are known beforehand, got dynamic"),
        (computed_scale, "expected a constant scale, got '.*', which is computed at run time"),
        (float_weight, r"\[Conv 'n_c'\] its weight '.*' is not quantized"),
        (float_input, "input 'x' has no QuantizeLinear after it"),
        (float_island, r"\[Reciprocal 'n_island'\] its result 'island' has no QuantizeLinear after it"),
        (
            two_readings,
            r"expected to read '.*' as it was written \(int8, scale 0.1, zero point 0\), got int8, scale 0.2",
        ),
        (computing_with_codes, r"\[Abs 'n_a'\] expected real inputs, or an operator that only moves codes of one grid"),
        (
            codes_of_two_grids,
            r"\[Concat 'n_j'\] expected real inputs, or an operator that only moves codes of one grid",
        ),
        (channels_meet, "value 'c': expected one scale for a computed value, got 3; quantize activations per tensor"),
        (scales_along_inputs, r"\[Conv 'n_c'\] weight '.*': expected scales per output channel \(axis 0\).* axis 1"),
        (operand_per_channel, r"\[Mul 'n_m'\] constant '.*': expected one scale, got 3"),
        (
            blocks_of_an_activation,
            r"\[QuantizeLinear '.*'\] expected one scale for the computed value 'x', got 24 for blocks of 2",
        ),
        (blocks_along_a_strange_axis, r"expected block_size along one of 4 axes, got axis 4"),
        (zero_scale, "scale: expected a finite value of at least"),
    ],
    ids=lambda item: item.__name__ if callable(item) else "",
)
def test_one_clear_error(build: Callable[[Net], str], text: str, tmp_path: Path) -> None:
    net = Net(opset=17)
    onnx.save(net.model((1, 3, 4, 4), build(net)), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=text):
        load_quantized_graph(tmp_path / "m.onnx")


@pytest.mark.parametrize("opset", [17, 21])
def test_weights_in_blocks_are_refused_by_name(opset: int, tmp_path: Path) -> None:
    net = Net(opset=opset)
    codes, scale = net.rng.integers(-7, 8, (8, 6)).astype(S8), np.full((2, 6), 0.1, np.float32)
    weight = net.op("DequantizeLinear", codes, scale, np.zeros((2, 6), S8), axis=0, block_size=4, out="w")
    net.pair(net.op("MatMul", net.pair("x", 0.1, S8(0)), weight, out="m"), 0.1, S8(0), out="y")
    onnx.save(net.model((1, 8), "y"), tmp_path / "m.onnx")
    graph, plan, _ = load_quantized_graph(tmp_path / "m.onnx")
    with pytest.raises(
        LoweringError, match=r"\[MatMul 'n_m'\] constant 'w': expected one scale per output channel \(axis"
    ):
        lower(graph, plan)


def test_one_block_along_the_sum_is_a_scale_per_channel(tmp_path: Path) -> None:
    net = Net(opset=21)
    codes, scale = net.rng.integers(-7, 8, (8, 6)).astype(S8), net.rng.uniform(0.05, 0.1, (1, 6)).astype(np.float32)
    weight = net.op("DequantizeLinear", codes, scale, np.zeros((1, 6), S8), axis=0, block_size=8, out="w")
    net.pair(net.op("MatMul", net.pair("x", 0.1, S8(0)), weight, out="m"), 0.1, S8(0), out="y")
    onnx.save(net.model((16, 8), "y"), tmp_path / "m.onnx")
    graph, plan, _ = load_quantized_graph(tmp_path / "m.onnx")
    x = net.rng.normal(size=(16, 8)).astype(np.float32)
    assert plan.params(str(graph.node("n_m").inputs[1].name)).granularity == PerChannel(1)  # type: ignore[union-attr]
    assert np.abs(lower(graph, plan).run(x) - run_ort(tmp_path / "m.onnx", x)).max() < 1.001 * 0.1


def test_every_island_is_listed(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Conv", "x", net.normal(4, 3, 1, 1), out="first")
    net.op("Conv", net.pair(x, 0.1, S8(0)), net.normal(4, 4, 1, 1), out="y")
    onnx.save(net.model((1, 3, 4, 4), "y"), tmp_path / "m.onnx")
    with pytest.raises(ModelError) as error:
        load_quantized_graph(tmp_path / "m.onnx")
    assert "got 3 that stay float" in str(error.value)
    assert all(name in str(error.value) for name in ("input 'x'", "'n_first'", "'n_y'"))


def test_every_unknown_operator_is_listed(tmp_path: Path) -> None:
    net = Net()
    onnx.save(net.model((2, 3, 3), unknown_operator(net)), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedOperatorError, match=r"\[Det 'n_d'\] this operator is not supported"):
        load_quantized_graph(tmp_path / "m.onnx")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a model file, got nothing there"):
        load_quantized_graph(tmp_path / "nothing.onnx")


def test_a_float_network(tmp_path: Path) -> None:
    onnx.save(small_net(), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"load it with intaglio.load and quantize it with intaglio.quantize"):
        load_quantized_graph(tmp_path / "m.onnx")


def test_metadata_that_lies(tmp_path: Path) -> None:
    net = Net()
    model = net.model((1, 3, 4, 4), net.pair("x", 0.1, U8(0), out="y"))
    model.metadata_props.add(key="intaglio.params", value="{}x")
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"metadata 'intaglio.params': expected quantization parameters as JSON"):
        load_quantized_graph(tmp_path / "m.onnx")
