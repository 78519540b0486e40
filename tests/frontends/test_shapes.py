"""Open and fixed sizes of inputs, and which graphs run on any number of samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from intaglio_tests.onnx_net import Net, assert_same, feeds_for, ops, run

from intaglio.errors import ModelError
from intaglio.frontends import load, load_onnx
from intaglio.graph import shape
from intaglio.ops import FLOAT_OPERATORS

f = np.float32


def image_network(*sizes: int | str | None) -> Net:
    net = Net()
    x = net.input("x", sizes)
    y = net.op("Relu", net.conv(x, 3, 4))
    return net.output(net.op("Gemm", net.op("Flatten", net.op("GlobalAveragePool", y)), net.normal(4, 2)))


def reshaping_network(*sizes: int | str | None) -> Net:
    """x.view(x.size(0), -1) and a flatten that names the number of samples."""
    net = Net()
    x = net.input("x", sizes)
    batch = net.op("Gather", net.op("Shape", x), np.array([0], np.int64))
    y = net.op("Reshape", x, net.op("Concat", batch, [-1], axis=0))
    return net.output(net.op("MatMul", y, net.normal(3 * 4 * 4, 2)))


@pytest.mark.parametrize("sizes", [("N", 3, 8, 8), (None, 3, 8, 8), (1, 3, 8, 8), (4, 3, 8, 8)])
def test_batch_becomes_one_and_any_number_runs(sizes: tuple[int | str | None, ...], rng: np.random.Generator) -> None:
    model = image_network(*sizes).model()
    graph = load_onnx(model)
    assert graph.batched
    assert shape(graph.inputs[0]) == (1, 3, 8, 8)
    assert shape(graph.outputs[0]) == (1, 2)
    feeds = feeds_for(model, rng, batch=4)
    if sizes[0] == 1:
        feeds = {"x": feeds["x"][:1]}
    assert_same(run(graph, feeds), run(model, feeds))


@pytest.mark.parametrize("sizes", [("N", 3, 4, 4), (4, 3, 4, 4)])
def test_shape_arithmetic_keeps_the_batch_open(sizes: tuple[int | str, ...], rng: np.random.Generator) -> None:
    model = reshaping_network(*sizes).model()
    graph = load_onnx(model)
    assert ops(graph) == ["Reshape", "MatMul"]
    assert graph.batched
    feeds = feeds_for(model, rng, batch=4)
    assert_same(run(graph, feeds), run(model, feeds))


def test_squeeze_of_all_ones_leaves_an_open_batch_alone() -> None:
    net = Net()
    x = net.input("x", ("N", 3, 8, 8))
    graph = load_onnx(net.output(net.op("Squeeze", net.op("GlobalAveragePool", x))).model())
    assert shape(graph.outputs[0]) == (1, 3)
    assert graph.batched


def test_a_fixed_batch_that_is_mixed_stays(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.input("x", (4, 3))
    model = net.output(net.op("Sub", x, net.op("ReduceMean", x, [0]))).model()
    graph = load(model)
    assert not graph.batched
    assert shape(graph.inputs[0]) == (4, 3)
    feeds = feeds_for(model, rng)
    assert_same(run(graph, feeds), run(model, feeds))


MIXES: dict[str, Callable[[Net, str], str]] = {
    "softmax": lambda net, x: net.op("Softmax", x, axis=0),
    "transpose": lambda net, x: net.op("Transpose", x, perm=[1, 0, 2]),
    "reshape": lambda net, x: net.op("Reshape", x, [-1, 4]),
    "concat": lambda net, x: net.op("Concat", x, x, axis=0),
    "concat of a constant": lambda net, x: net.op("Concat", x, net.normal(1, 3, 4), axis=1),
    "cumulative sum": lambda net, x: net.op("CumSum", x, np.array(0, np.int64)),
    "unknown to the rules": lambda net, x: net.op("CenterCropPad", x, [1, 3, 2]),
    "lower rank": lambda net, x: net.op("Add", x, net.op("Reshape", x, [3, 4])),
    "reduction of all": lambda net, x: net.op("ReduceMax", x),
    "addend per sample": lambda net, x: net.op("MatMul", net.normal(2, 3, 3), x),
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES.keys())
def test_an_operator_that_mixes_samples_is_seen(mix: Callable[[Net, str], str]) -> None:
    net = Net(opset=18)
    assert not load_onnx(net.output(mix(net, net.input("x", (1, 3, 4)))).model()).batched


def test_open_sizes_must_be_given() -> None:
    model = image_network("N", 3, "height", None).model()
    with pytest.raises(
        ModelError,
        match=r"input 'x': expected static sizes beyond the batch, got \(N, 3, height, \?\); fix them with "
        r"--shape x=\d,3,\?,\? or shapes=",
    ):
        load_onnx(model)
    graph = load_onnx(model, {"x": (None, 3, 16, 12)})
    assert shape(graph.inputs[0]) == (1, 3, 16, 12)
    assert graph.batched


def test_sizes_below_one_are_open() -> None:
    """Some exporters write -1 for a size that they leave open."""
    model = image_network(-1, 3, -1, 0).model()
    with pytest.raises(ModelError, match=r"input 'x': expected static sizes beyond the batch, got \(\?, 3, \?, \?\)"):
        load_onnx(model)
    graph = load_onnx(model, {"x": (None, 3, 16, 12)})
    assert graph.batched
    assert shape(graph.inputs[0]) == (1, 3, 16, 12)


@pytest.mark.parametrize("sizes", [("N", 3, 8, 8), (1, 3, 8, 8)])
def test_nodes_may_come_in_any_order(sizes: tuple[int | str, ...], rng: np.random.Generator) -> None:
    model = image_network(*sizes).model()
    feeds = feeds_for(model, rng)
    wanted = run(model, feeds)
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    graph = load_onnx(model)
    assert graph.batched
    assert_same(run(graph, feeds), wanted)


def test_nodes_in_a_cycle_are_one_error() -> None:
    model = image_network(1, 3, 8, 8).model()
    model.graph.node[0].input[0] = model.graph.node[1].output[0]
    with pytest.raises(ModelError, match="net: expected nodes that can be put in an order, got a cycle"):
        load_onnx(model)


def with_optional_outputs() -> list[str]:
    """Every operator of ONNX with outputs that may be left out."""
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    schemas = [schema for schema in onnx.defs.get_all_schemas() if schema.domain == ""]
    return sorted({s.name for s in schemas if any(output.option == optional for output in s.outputs[1:])})


def recurrent(net: Net, op_type: str, x: str, outputs: int, gates: int) -> list[str]:
    """A recurrent layer over the rows of an image of (N, 4, 6, 6)."""
    steps = net.op("Transpose", net.op("Reshape", x, [0, 4, 36]), perm=[1, 0, 2])
    weights = net.normal(1, 5 * gates, 36), net.normal(1, 5 * gates, 5), net.normal(1, 10 * gates)
    return list(net.op(op_type, steps, *weights, outputs=outputs, hidden_size=5))


# Operators with optional outputs, as a node that names them all and of which only the first is read.
NAMED_OUTPUTS: dict[str, Callable[[Net, str, int], list[str]]] = {
    "BatchNormalization": lambda net, x, n: net.op(
        "BatchNormalization", x, net.positive(4), net.normal(4), net.normal(4), net.positive(4), outputs=1
    ).split(),
    "Dropout": lambda net, x, n: net.op("Dropout", x, outputs=n),
    "GRU": lambda net, x, n: recurrent(net, "GRU", x, n, gates=3),
    "LSTM": lambda net, x, n: recurrent(net, "LSTM", x, n, gates=4),
    "LayerNormalization": lambda net, x, n: net.op("LayerNormalization", x, net.normal(6), outputs=n),
    "MaxPool": lambda net, x, n: net.op("MaxPool", x, outputs=n, kernel_shape=[2, 2]),
    "RNN": lambda net, x, n: recurrent(net, "RNN", x, n, gates=1),
}


@pytest.mark.parametrize("operator", NAMED_OUTPUTS)
def test_optional_outputs_that_nobody_reads_are_left_out(operator: str, rng: np.random.Generator) -> None:
    formal = onnx.defs.get_schema(operator, 20).outputs
    net = Net()
    results = NAMED_OUTPUTS[operator](net, net.input("x", ("N", 4, 6, 6)), len(formal))
    model = net.output(net.op("Relu", results[0])).model()
    graph = load_onnx(model)
    assert all(len(node.outputs) == 1 for node in graph.nodes if not node.domain)
    assert not set(results[1:]) & set(graph.values())
    feeds = feeds_for(model, rng)
    assert_same(run(graph, feeds), run(model, feeds))


def test_every_supported_operator_with_optional_outputs_is_tried() -> None:
    known = set(with_optional_outputs()) & set(FLOAT_OPERATORS)
    assert known - {"Identity"} <= set(NAMED_OUTPUTS)


def test_a_name_for_a_size_holds_for_every_input() -> None:
    net = Net()
    a, b = net.input("a", ("N", "width")), net.input("b", ("N", "width"))
    graph = load_onnx(net.output(net.op("Add", a, b)).model(), {"a": (None, 7)})
    assert shape(graph.inputs[1]) == (1, 7)


def test_given_sizes_are_checked() -> None:
    model = image_network("N", 3, 8, 8).model()
    with pytest.raises(ModelError, match=r"shape of 'y': expected one of the inputs \['x'\], got no such name"):
        load_onnx(model, {"y": (1, 3, 8, 8)})
    with pytest.raises(
        ModelError, match=r"input 'x': expected a shape with 4 sizes, as in \(N, 3, 8, 8\), got \(1, 3\)"
    ):
        load_onnx(model, {"x": (1, 3)})
    with pytest.raises(ModelError, match="input 'x': expected size 3 in axis 1, as the model fixes it, got 4"):
        load_onnx(model, {"x": (1, 4, 8, 8)})
    with pytest.raises(ModelError, match="input 'x': expected positive sizes, got -2 in axis 0"):
        load_onnx(model, {"x": (-2, 3, 8, 8)})


def test_a_given_batch_is_reduced_too() -> None:
    graph = load_onnx(image_network("N", 3, 8, 8).model(), {"x": (8, 3, 8, 8)})
    assert shape(graph.inputs[0]) == (1, 3, 8, 8)


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16])
def test_other_floats_become_float32(kind: int) -> None:
    net = Net()
    x = net.input("x", (1, 4), kind)
    weight = onnx.helper.make_tensor("w", kind, [4, 2], list(range(8)))
    net.initializers.append(weight)
    y = net.op("Cast", net.op("Cast", net.op("MatMul", x, "w"), to=onnx.TensorProto.FLOAT), to=kind)
    graph = load_onnx(net.output(y, dtype=kind).model())
    assert {value.dtype for value in graph.values().values()} == {ir.DataType.FLOAT}
    assert ops(graph) == ["MatMul"]


def test_a_path_a_protobuf_and_an_ir_model_are_the_same(tmp_path: Path) -> None:
    model = image_network("N", 3, 8, 8).model()
    path = tmp_path / "net.onnx"
    model.graph.name = path.name  # which a network from a file has
    onnx.save(model, path)
    graphs = [load(path), load(str(path)), load(model), load(ir.from_proto(model))]
    graphs.append(load(graphs[0]))
    assert len({graph.proto().SerializeToString() for graph in graphs}) == 1


def test_functions_are_inlined(rng: np.random.Generator) -> None:
    net = Net()
    net.output(net.op("Gate", net.input("x", (1, 4)), domain="local"))
    model = net.model()
    nodes = [onnx.helper.make_node("Sigmoid", ["a"], ["s"]), onnx.helper.make_node("Mul", ["a", "s"], ["b"])]
    model.functions.append(
        onnx.helper.make_function("local", "Gate", ["a"], ["b"], nodes, [onnx.helper.make_opsetid("", 20)])
    )
    feeds = feeds_for(model, rng)
    graph = load(model)
    assert ops(graph) == ["Swish"]
    assert_same(run(graph, feeds), run(model, feeds))


def test_shared_constants_are_given_one_consumer_each() -> None:
    net = Net()
    x, w = net.input("x", (1, 4)), net.constant(net.normal(4, 4), "w")
    graph = load_onnx(net.output(net.op("Add", net.op("MatMul", x, w), net.op("MatMul", net.op("Relu", x), w))).model())
    assert sorted(value.name for value in graph.initializers) == ["w", "w__2"]


def test_nodes_without_names_get_one() -> None:
    model = image_network("N", 3, 8, 8).model()
    for node in model.graph.node:
        node.name = ""
    names = [node.name for node in load_onnx(model).nodes]
    assert len(set(names)) == len(names)
    assert names[0] == model.graph.node[0].output[0]


def test_constants_that_are_listed_as_inputs_are_none() -> None:
    """As files of IR version 3 do."""
    model = image_network("N", 3, 8, 8).model()
    for tensor in model.graph.initializer:
        value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.append(value)
    model.ir_version = 3
    graph = load_onnx(model)
    assert [value.name for value in graph.inputs] == ["x"]
    assert graph.batched
