"""The Graph itself: access, copies, files and the checks of its normal form."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from intaglio_tests.onnx_net import Net, assert_same, feeds_for, run

from intaglio.errors import ExportError, ModelError
from intaglio.frontends import load, load_onnx
from intaglio.graph import Graph, attribute, constant, consumers, is_output, shape
from intaglio.graph.bounds import bounds
from intaglio.graph.edit import add_constant, insert
from intaglio.graph.fingerprint import graph_fingerprint
from intaglio.graph.passes.fold_constants import fold_constants


def network() -> Net:
    net = Net()
    x = net.input("x", ("N", 3, 8, 8))
    y = net.op("Relu", net.conv(x, 3, 4, strides=[2, 1]), name="act")
    return net.output(net.op("Gemm", net.op("Flatten", net.op("GlobalAveragePool", y)), net.normal(4, 2), name="fc"))


@pytest.fixture
def graph() -> Graph:
    return load_onnx(network().model())


def test_access(graph: Graph) -> None:
    assert [node.op_type for node in graph.nodes] == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    assert [value.name for value in graph.inputs] == ["x"]
    assert [value.name for value in graph.outputs] == ["fc"]
    conv = graph.node("node_conv_1")
    assert attribute(conv, "strides") == (2, 1)
    assert attribute(conv, "auto_pad", "none") == "none"
    assert constant(conv.inputs[1]).shape == (4, 3, 3, 3)
    assert constant(conv.inputs[0]) is None
    assert constant(None) is None
    assert shape(conv.outputs[0]) == (1, 4, 3, 6)
    assert consumers(conv.outputs[0]) == [graph.node("node_act")]
    assert is_output(graph.value("fc"))
    assert not is_output(graph.value("act"))
    assert set(graph.values()) >= {"x", "act", "fc", "conv_1", "conv_1.1", "conv_1.2"}
    assert repr(graph) == "Graph('net', 5 nodes, x 1x3x8x8 -> fc 1x2)"
    with pytest.raises(ModelError, match="graph 'net': expected a value called 'nothing', got none of that name"):
        graph.value("nothing")
    with pytest.raises(ModelError, match="expected a node called 'nothing'"):
        graph.node("nothing")


def test_a_copy_is_independent(graph: Graph) -> None:
    copy = graph.copy()
    copy.history.append("changed")
    copy.nodes[0].name = "other"
    assert graph.history == []
    assert graph.nodes[0].name == "node_conv_1"


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))], ids=["copy", "pickle"]
)
def test_a_pickled_graph_is_the_same_and_independent(graph: Graph, again: Callable[[Graph], Graph]) -> None:
    made = again(graph)
    made.verify()
    assert made.proto() == graph.proto()
    assert (made.history, made.moments) == (graph.history, graph.moments)
    assert graph_fingerprint(made) == graph_fingerprint(graph)
    made.nodes[0].name = "other"
    assert graph.nodes[0].name != "other"


def test_saved_file_runs_on_any_batch_and_loads_again(graph: Graph, tmp_path: Path, rng: np.random.Generator) -> None:
    graph.save(tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    proto = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    feeds = feeds_for(proto, rng, batch=5)
    assert_same(run(proto, feeds), run(network().model(), feeds))
    again = load_onnx(tmp_path / "net.onnx")
    assert again.proto().SerializeToString() == proto.SerializeToString()
    assert [value.shape for value in graph.inputs] == [ir.Shape([1, 3, 8, 8])]  # saving leaves the graph alone


def test_large_weights_go_beside_the_file(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr("intaglio.graph.graph._LARGEST_PROTOBUF", 64)
    graph.save(tmp_path / "net.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    feeds = feeds_for(network().model(), rng)
    assert_same(run(load_onnx(tmp_path / "net.onnx"), feeds), run(graph, feeds))


def test_what_cannot_be_written_leaves_nothing(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"absent/net\.onnx: expected to write the graph here, got: No such file"):
        graph.save(tmp_path / "absent" / "net.onnx")
    (tmp_path / "net.onnx").mkdir()
    (tmp_path / "net.onnx" / "full").touch()
    with pytest.raises(ExportError, match="expected to write the graph here"):
        graph.save(tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def broken(graph: Graph, what: str) -> None:
    inner, nodes = graph.model.graph, graph.nodes
    if what == "same node name":
        nodes[1].name = nodes[0].name
    elif what == "same value name":
        nodes[1].outputs[0].name = nodes[0].outputs[0].name
    elif what == "order":
        inner.remove(nodes[0])
        inner.append(nodes[0])
    elif what == "shared constant":
        nodes[4].resize_inputs(3)
        nodes[4].replace_input_with(2, nodes[0].inputs[2])
    elif what == "open shape":
        nodes[1].outputs[0].shape = ir.Shape([1, "c", 3, 6])
    elif what == "constants only":
        nodes[1].replace_input_with(0, add_constant(inner, "fixed", np.ones((1, 4, 3, 6), np.float32)))
    elif what == "opset":
        graph.model.opset_imports[""] = 20
    elif what == "wrong shape":
        nodes[0].outputs[0].shape = ir.Shape([1, 4, 3, 7])
    elif what == "wrong weight":
        value = nodes[4].inputs[1]
        value.const_value = ir.tensor(np.ones((3, 2), np.float32))
    elif what == "dropout":
        nodes[1].op_type = "Dropout"
    elif what == "attribute":
        nodes[0].attributes["stride"] = ir.AttrInt64("stride", 2)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("same node name", "node 'node_conv_1': expected a unique name, got two of it"),
        ("same value name", "value 'conv_1': expected a unique name, got two of it"),
        ("order", r"\[Relu 'node_act'\] expected its input 'conv_1' to be computed before it"),
        ("shared constant", "constant 'conv_1.2': expected one consumer, got 2"),
        ("open shape", "value 'act': expected a type and a static shape, got FLOAT"),
        ("constants only", r"\[Relu 'node_act'\] expected at least one computed input, got constants only"),
        ("opset", "graph 'net': expected opset 24, got 20"),
        ("wrong shape", "graph 'net': expected valid ONNX, got: .*"),
        ("wrong weight", r"constant 'fc\.1': its array does not fit its type FLOAT \[4,2\]"),
        ("dropout", r"\[Dropout 'node_act'\] expected no Dropout in a graph in normal form"),
        ("attribute", "graph 'net': expected valid ONNX, got: .*stride"),
    ],
)
def test_verify_names_what_is_wrong(graph: Graph, what: str, text: str) -> None:
    graph.verify()
    broken(graph, what)
    with pytest.raises(ModelError, match=text):
        graph.verify()


def test_bounds_follow_the_operators() -> None:
    f = np.float32
    cases = {
        "relu": (lambda net, x: net.op("Relu", x), (0.0, np.inf)),
        "clip": (lambda net, x: net.op("Clip", x, f(-1), f(2)), (-1.0, 2.0)),
        "clip of relu": (lambda net, x: net.op("Clip", net.op("Relu", x), "", f(2)), (0.0, 2.0)),
        "relu of a pool": (lambda net, x: net.op("MaxPool", net.op("Tanh", x), kernel_shape=[2, 2]), (-1.0, 1.0)),
        "concat": (lambda net, x: net.op("Concat", net.op("Sigmoid", x), net.op("Tanh", x), axis=1), (-1.0, 1.0)),
        "maximum": (lambda net, x: net.op("Max", net.op("Sigmoid", x), net.op("Tanh", x)), (0.0, 1.0)),
        "padded average": (
            lambda net, x: net.op(
                "AveragePool",
                net.op("Clip", x, f(1), f(2)),
                kernel_shape=[2, 2],
                pads=[1, 1, 0, 0],
                count_include_pad=1,
            ),
            (0.0, 2.0),
        ),
        "sum": (lambda net, x: net.op("Add", net.op("Relu", x), x), (-np.inf, np.inf)),
    }
    for name, (build, expected) in cases.items():
        net = Net()
        found = load_onnx(net.output(build(net, net.input("x", (1, 4, 6, 6)))).model())
        assert bounds(found.outputs[0]) == expected, name


def test_history_tells_every_change() -> None:
    net = Net()
    x = net.input("x", (1, 3, 8, 8))
    y = net.op("Div", net.batch_norm(net.conv(x, 3, 4), 4), np.float32(2), name="half")
    graph = load(net.output(net.op("Relu", y)).model())
    assert graph.history == [
        "[Div 'node_half'] written as Mul by the reciprocal constant",
        "[BatchNormalization 'node_batchnormalization_2'] folded into [Conv 'node_conv_1']",
        "[Mul 'node_half'] folded into [Conv 'node_conv_1']",
    ]


def test_constants_of_constants_are_computed_beforehand(rng: np.random.Generator) -> None:
    """Loading folds them; a pass or a user may leave new ones."""
    net = Net()
    x = net.input("x", (1, 4))
    graph = load_onnx(net.output(net.op("Add", x, net.normal(4), name="sum")).model())
    feeds = feeds_for(net.model(), rng)
    wanted = [feeds["x"] + np.exp(constant(graph.node("node_sum").inputs[1]))]
    add = graph.node("node_sum")
    offset = add.inputs[1]
    exp = insert(graph.model.graph, add, "Exp", [offset], name="exp")
    add.replace_input_with(1, exp.outputs[0])
    assert fold_constants(graph) == ["[Exp 'exp'] reads constants only: computed beforehand"]
    graph.verify()
    assert [node.op_type for node in graph.nodes] == ["Add"]
    assert_same(run(graph, feeds), wanted)
