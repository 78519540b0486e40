"""What people bring and what does not fit is one clear error that names the input or the node."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from intaglio_tests.onnx_net import Net

import intaglio as ig
from intaglio.errors import DataError, ModelError
from intaglio.frontends import load

INT64 = onnx.TensorProto.INT64
FAST = {"calibrator": "max", "equalize": False, "bias_correction": False}
ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def pair() -> onnx.ModelProto:
    net = Net()
    a, b = net.input("a", ("N", 4)), net.input("b", ("N", 4))
    return net.output(net.op("MatMul", net.op("Add", a, b), net.normal(4, 4))).model()


def image(shape: tuple[int | str, ...]) -> onnx.ModelProto:
    net = Net()
    return net.output(net.op("Conv", net.input("image", shape), net.normal(4, 3, 3, 3))).model()


def steps() -> onnx.ModelProto:
    net = Net()
    return net.output(net.op("Relu", net.input("sound", ("N", "time", 4)))).model()


def test_open_sizes_name_the_option() -> None:
    text = r"input 'image': expected static sizes .* got \(N, 3, h, w\); fix them with --shape image=1,3,\?,\?"
    with pytest.raises(ModelError, match=text):
        load(image(("N", 3, "h", "w")))
    assert load(image(("N", 3, "h", "w")), shapes={"image": (1, 3, 224, 224)}).batched


def test_sequences_without_steps() -> None:
    with pytest.raises(ModelError, match=r"input 'sound': .* got 0 in axis 1; .* for a sequence its number of steps"):
        load(steps(), shapes={"sound": (1, 0, 4)})


def test_ids_outside_the_table() -> None:
    net = Net()
    rows = net.op("Gather", net.normal(10, 8), net.input("ids", ("N", 4), INT64), name="table")
    proto = net.output(net.op("MatMul", rows, net.normal(8, 3))).model()
    with pytest.raises(DataError, match=r"\[Gather 'node_table'\] expected indices of an axis of size 10, .* got 12"):
        ig.quantize(load(proto), np.full((4, 4), 12, np.int64), **FAST)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"a": ROWS}, r"inputs 'a', 'b', got arrays named 'a'\. Add an array for 'b', or bind an input"),
        ({"a": ROWS, "c": ROWS}, r"inputs 'a', 'b', got arrays named 'a', 'c'\. Rename them"),
        ({"a": ROWS, "b": ROWS, "c": ROWS}, r"got arrays named 'a', 'b', 'c'\. Leave out 'c'"),
        (ROWS, r"the model has 2 inputs \('a', 'b'\), got 1 per sample\. Give a tuple in that order or a dict by name"),
    ],
)
def test_data_of_other_inputs(data: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        ig.quantize(load(pair()), data, **FAST)


def empty(proto: onnx.ModelProto) -> None:
    del proto.graph.node[:]
    proto.graph.output[0].CopyFrom(proto.graph.input[0])


def twice(proto: onnx.ModelProto) -> None:
    other = onnx.helper.make_node("Relu", ["a"], [proto.graph.output[0].name], name="second")
    proto.graph.node.append(other)


def over_an_input(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].output[0] = "a"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (empty, "expected a network that computes something, got outputs that are its inputs"),
        (
            twice,
            r"\[Relu 'second'\] expected a name of its own for its output 'matmul_2', got that of an output of \[M",
        ),
        (over_an_input, r"\[Add 'node_add_1'\] expected a name of its own for its output 'a', got that of input 'a'"),
    ],
)
def test_damaged_graphs(change: Callable[[onnx.ModelProto], None], text: str) -> None:
    proto = pair()
    change(proto)
    with pytest.raises(ModelError, match=text):
        load(proto)


def test_integer_results_are_made_by_the_tail() -> None:
    net = Net()
    x = net.input("x", ("N", 4))
    scaled = net.op("Mul", net.op("MatMul", x, net.normal(4, 3)), np.float32(10), name="scaled")
    proto = net.output(net.op("Cast", scaled, to=INT64, name="labels"), dtype=INT64).model()
    q = ig.quantize(load(proto), ROWS, **FAST)
    y = q.lower().run(ROWS[:1])
    found = q.tail.run(y)["labels"]
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, y.astype(np.int64))
