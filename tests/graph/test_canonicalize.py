"""Each operator that has a simpler equal form takes it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, check

f = np.float32
Build = Callable[[Net, str], str]

IMAGE: list[tuple[str, Build, list[str]]] = [
    ("sub of a constant", lambda net, x: net.op("Sub", x, net.normal(4, 1, 1)), ["Add"]),
    ("constant minus x", lambda net, x: net.op("Sub", f(2), x), ["Mul", "Add"]),
    ("div by a constant", lambda net, x: net.op("Div", x, net.positive(4, 1, 1)), ["Mul"]),
    ("constant over x", lambda net, x: net.op("Div", f(2), net.op("Exp", x)), ["Exp", "Reciprocal", "Mul"]),
    ("x times x", lambda net, x: net.op("Mul", x, x), ["Pow"]),
    ("sum over n", lambda net, x: net.op("Mul", net.op("ReduceSum", x, [1], keepdims=1), f(0.25)), ["ReduceMean"]),
    (
        "axes that are put back",
        lambda net, x: net.op("Unsqueeze", net.op("ReduceMax", x, [1], keepdims=0), [1]),
        ["ReduceMax"],
    ),
    ("x plus x", lambda net, x: net.op("Add", x, x), ["Mul"]),
    ("square root as a power", lambda net, x: net.op("Pow", net.op("Exp", x), f(0.5)), ["Exp", "Sqrt"]),
    ("reciprocal as a power", lambda net, x: net.op("Pow", net.op("Exp", x), f(-1)), ["Exp", "Reciprocal"]),
    ("clip above zero", lambda net, x: net.op("Clip", x, f(0), f(np.inf)), ["Relu"]),
    ("clip with one bound", lambda net, x: net.op("Clip", x, f(0)), ["Relu"]),
    ("clip with no bound", lambda net, x: net.op("Exp", net.op("Clip", x)), ["Exp"]),
    ("clip below infinity", lambda net, x: net.op("Clip", x, f(-np.inf), f(0.5)), ["Clip"]),
    ("maximum with zero", lambda net, x: net.op("Max", f(0), x), ["Relu"]),
    ("maximum with a number", lambda net, x: net.op("Max", x, f(-0.5)), ["Clip"]),
    ("minimum and maximum", lambda net, x: net.op("Min", net.op("Max", x, f(-0.5)), f(0.5)), ["Clip"]),
    ("minimum with a vector", lambda net, x: net.op("Min", x, net.normal(4, 1, 1)), ["Min"]),
    (
        "sum of three",
        lambda net, x: net.op("Sum", x, net.op("Exp", x), net.op("Tanh", x)),
        ["Exp", "Add", "Tanh", "Add"],
    ),
    ("mean of two", lambda net, x: net.op("Mean", x, net.op("Exp", x)), ["Exp", "Add", "Mul"]),
    ("flatten", lambda net, x: net.op("Flatten", net.op("Exp", x)), ["Exp", "Reshape"]),
    ("flatten to one row", lambda net, x: net.op("Flatten", net.op("Exp", x), axis=0), ["Exp", "Reshape"]),
    ("unsqueeze and squeeze", lambda net, x: net.op("Squeeze", net.op("Unsqueeze", x, [2]), [2]), []),
    ("mean of the image", lambda net, x: net.op("ReduceMean", x, [2, 3]), ["GlobalAveragePool"]),
    (
        "mean without axes",
        lambda net, x: net.op("ReduceMean", x, [-1, -2], keepdims=0),
        ["GlobalAveragePool", "Reshape"],
    ),
    ("maximum of the image", lambda net, x: net.op("ReduceMax", x, [2, 3]), ["GlobalMaxPool"]),
    ("mean of columns", lambda net, x: net.op("ReduceMean", x, [3]), ["ReduceMean"]),
    ("pool of the image", lambda net, x: net.op("AveragePool", x, kernel_shape=[6, 6]), ["GlobalAveragePool"]),
    ("max pool of the image", lambda net, x: net.op("MaxPool", x, kernel_shape=[6, 6]), ["GlobalMaxPool"]),
    ("padded pool", lambda net, x: net.op("AveragePool", x, kernel_shape=[6, 6], pads=[1] * 4), ["AveragePool"]),
    ("gather of one", lambda net, x: net.op("Gather", x, np.array(2, np.int64), axis=1), ["Slice", "Reshape"]),
    ("gather of a range", lambda net, x: net.op("Gather", x, [1, 3, 5], axis=3), ["Slice"]),
    ("gather of any", lambda net, x: net.op("Gather", x, [1, 0, 2], axis=1), ["Gather"]),
    (
        "expand before add",
        lambda net, x: net.op("Add", x, net.op("Expand", net.op("ReduceMean", x, [3]), [1, 4, 6, 6])),
        ["ReduceMean", "Add"],
    ),
    (
        "token before positions",
        lambda net, x: net.op("Add", net.op("Concat", net.normal(1, 4, 1, 6), x, axis=2), net.normal(4, 7, 6)),
        ["Pad", "Add"],
    ),
]


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in IMAGE], ids=[row[0] for row in IMAGE])
def test_simpler_form_is_taken(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net(opset=18)
    net.output(build(net, net.op("Sin", net.input("x", (1, 4, 6, 6)))))
    check(net, ["Sin", *expected], rng)


DENSE: list[tuple[str, Build, list[str]]] = [
    ("matmul", lambda net, x: net.op("MatMul", x, net.normal(6, 5)), ["Gemm"]),
    ("matmul and add", lambda net, x: net.op("Add", net.normal(5), net.op("MatMul", x, net.normal(6, 5))), ["Gemm"]),
    ("matmul and row", lambda net, x: net.op("Add", net.op("MatMul", x, net.normal(6, 5)), net.normal(1, 5)), ["Gemm"]),
    (
        "alpha and beta",
        lambda net, x: net.op("Gemm", x, net.normal(6, 5), net.normal(5), alpha=0.3, beta=3.0),
        ["Gemm"],
    ),
    ("bias of one number", lambda net, x: net.op("Gemm", x, net.normal(6, 5), net.normal(1)), ["Gemm"]),
    ("transposed weight", lambda net, x: net.op("Gemm", x, net.normal(5, 6), transB=1), ["Gemm"]),
    (
        "computed bias",
        lambda net, x: net.op("Gemm", x, net.normal(6, 6), net.op("Exp", x), beta=2.0),
        ["Exp", "Gemm", "Mul", "Add"],
    ),
    (
        "computed weight",
        lambda net, x: net.op("Gemm", x, net.op("Exp", x), net.normal(1), transB=1, alpha=0.5),
        ["Exp", "Reshape", "MatMul", "Mul", "Add"],
    ),
]


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in DENSE], ids=[row[0] for row in DENSE])
def test_dense_layer_has_one_form(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net()
    net.output(build(net, net.op("Sin", net.input("x", (1, 6)))))
    graph = check(net, ["Sin", *expected], rng)
    for node in graph.nodes:
        if node.op_type == "Gemm":
            assert set(node.attributes) <= {"transA", "transB"}
            assert len(node.inputs) < 3 or node.inputs[2].shape.rank() == 1


MOVES: list[tuple[str, Build, list[str]]] = [
    (
        "strided slices",
        lambda net, x: net.op("Slice", net.op("Slice", x, [0], [8], [2], [2]), [0], [8], [3], [2]),
        ["Slice"],
    ),
    (
        "slices of one axis",
        lambda net, x: net.op("Slice", net.op("Slice", x, [1], [7], [2], [2]), [1], [3], [2], [1]),
        ["Slice"],
    ),
    (
        "a reversed slice",
        lambda net, x: net.op("Slice", net.op("Slice", x, [1], [7], [2], [2]), [-1], [-99], [2], [-1]),
        ["Slice", "Slice"],
    ),
    ("whole slice", lambda net, x: net.op("Slice", x, [0, 0], [99, 99], [2, 0], [1, 1]), []),
    ("reshapes", lambda net, x: net.op("Reshape", net.op("Reshape", x, [1, -1]), [1, 8, 32]), ["Reshape"]),
    ("reshape and back", lambda net, x: net.op("Reshape", net.op("Reshape", x, [1, -1]), [1, 4, 8, 8]), []),
    (
        "transposes",
        lambda net, x: net.op("Transpose", net.op("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 2, 1, 3]),
        ["Transpose"],
    ),
    (
        "transpose and back",
        lambda net, x: net.op("Transpose", net.op("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2]),
        [],
    ),
    ("relu twice", lambda net, x: net.op("Relu", net.op("Relu", x)), ["Relu"]),
    ("clip behind relu", lambda net, x: net.op("Clip", net.op("Relu", x), f(-1), f(0.4)), ["Clip"]),
    ("relu behind clip", lambda net, x: net.op("Relu", net.op("Clip", x, f(-1), f(0.4))), ["Clip"]),
    ("clips apart", lambda net, x: net.op("Clip", net.op("Clip", x, f(-0.5), f(-0.4)), f(0.1), f(0.2)), ["Clip"]),
    ("relu behind abs", lambda net, x: net.op("Relu", net.op("Abs", x)), ["Abs"]),
    (
        "relu behind max pool",
        lambda net, x: net.op("Relu", net.op("MaxPool", x, kernel_shape=[2, 2], pads=[1] * 4)),
        ["Relu", "MaxPool"],
    ),
    ("relu behind reshape", lambda net, x: net.op("Relu", net.op("Reshape", x, [1, -1])), ["Relu", "Reshape"]),
    (
        "concats",
        lambda net, x: net.op("Concat", net.op("Concat", x, net.op("Exp", x), axis=1), net.op("Abs", x), axis=1),
        ["Exp", "Abs", "Concat"],
    ),
    ("concat of one", lambda net, x: net.op("Exp", net.op("Concat", x, axis=1)), ["Exp"]),
    ("identity", lambda net, x: net.op("Exp", net.op("Identity", x)), ["Exp"]),
    ("dropout", lambda net, x: net.op("Exp", net.op("Dropout", x, f(0.3))), ["Exp"]),
    ("cast to itself", lambda net, x: net.op("Exp", net.op("Cast", x, to=1)), ["Exp"]),
    ("no pad", lambda net, x: net.op("Exp", net.op("Pad", x, [0] * 8)), ["Exp"]),
    ("expand to itself", lambda net, x: net.op("Exp", net.op("Expand", x, [1, 4, 8, 8])), ["Exp"]),
    ("resize by one", lambda net, x: net.op("Exp", net.op("Resize", x, "", np.ones(4, f))), ["Exp"]),
    (
        "plus zero, times one",
        lambda net, x: net.op("Exp", net.op("Mul", net.op("Add", x, f(0)), np.ones((4, 1, 1), f))),
        ["Exp"],
    ),
    (
        "plus a zero that broadcasts",
        lambda net, x: net.op("Add", net.op("ReduceMax", x, [1]), np.zeros((4, 1, 1), f)),
        ["ReduceMax", "Add"],
    ),
    ("pool of one pixel", lambda net, x: net.op("Exp", net.op("MaxPool", x, kernel_shape=[1, 1])), ["Exp"]),
    (
        "strided pool of one pixel",
        lambda net, x: net.op("MaxPool", x, kernel_shape=[1, 1], strides=[2, 2]),
        ["MaxPool"],
    ),
    (
        "scaled attention",
        lambda net, x: net.op(
            "MatMul",
            net.op("Mul", x, f(0.5)),
            net.op("Transpose", net.op("Mul", net.op("Exp", x), f(0.5)), perm=[0, 1, 3, 2]),
        ),
        ["Exp", "Transpose", "MatMul", "Mul"],
    ),
]


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in MOVES], ids=[row[0] for row in MOVES])
def test_moves_are_merged(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net(opset=18)
    net.output(build(net, net.op("Sin", net.input("x", (1, 4, 8, 8)))))
    check(net, ["Sin", *expected], rng)


def test_an_identity_between_input_and_output_stays(rng: np.random.Generator) -> None:
    net = Net()
    x = net.input("x", (1, 3))
    net.output(net.op("Identity", x), net.op("Relu", x))
    check(net, ["Identity", "Relu"], rng)


def test_one_value_as_two_outputs(rng: np.random.Generator) -> None:
    net = Net()
    y = net.op("Relu", net.input("x", (1, 3)))
    net.output(y, net.op("Identity", y))
    graph = check(net, ["Relu", "Identity"], rng)
    assert [value.name for value in graph.outputs] == ["relu_1", "identity_2"]
