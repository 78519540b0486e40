"""Transposes of channels-last graphs cancel, whatever stands between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, check, ops

from intaglio.frontends import load_onnx, prepare
from intaglio.graph import shape

f = np.float32


def last(net: Net, x: str) -> str:
    """Channels first to channels last."""
    return net.op("Transpose", x, perm=[0, 2, 3, 1])


def first(net: Net, x: str) -> str:
    """Channels last to channels first."""
    return net.op("Transpose", x, perm=[0, 3, 1, 2])


def conv(net: Net, x: str, cin: int = 4, cout: int = 4, **attributes: object) -> str:
    """A convolution of a channels-last image, as Keras models export it."""
    attributes.setdefault("pads", [1] * 4)
    return last(net, net.conv(first(net, x), cin, cout, **attributes))


Build = Callable[[Net, str], str]
BETWEEN: list[tuple[str, Build, list[str]]] = [
    ("relu", lambda net, x: net.op("Relu", x), ["Relu"]),
    ("add of itself", lambda net, x: net.op("Add", x, net.op("Relu", x)), ["Relu", "Add"]),
    ("residual", lambda net, x: net.op("Add", x, conv(net, net.op("Relu", x))), ["Relu", "Conv", "Add"]),
    (
        "concat",
        lambda net, x: net.op("Concat", net.op("Slice", x, [0], [2], [3]), net.op("Slice", x, [2], [4], [-1]), axis=-1),
        ["Slice", "Slice", "Concat"],
    ),
    (
        "split",
        lambda net, x: net.op("Concat", *net.op("Split", x, [1, 3], axis=3, outputs=2), axis=3),
        ["Split", "Concat"],
    ),
    (
        "pad",
        lambda net, x: net.op("Slice", net.op("Pad", x, [0, 1, 0, 0, 0, 0, 2, 0], f(1.5)), [0, 0], [6, 6], [1, 2]),
        ["Pad", "Slice"],
    ),
    (
        "resize",
        lambda net, x: net.op("Slice", net.op("Resize", x, "", np.array([1, 2, 3, 1], f)), [0, 0], [6, 6], [1, 2]),
        ["Resize", "Slice"],
    ),
    ("softmax of channels", lambda net, x: net.op("Softmax", x, axis=3), ["Softmax"]),
    ("mean of channels", lambda net, x: net.op("Mul", x, net.op("ReduceMean", x, [3])), ["ReduceMean", "Mul"]),
    ("prelu", lambda net, x: net.op("PRelu", x, net.normal(4)), ["PRelu"]),
    ("vector of columns", lambda net, x: net.op("Mul", x, net.normal(6, 1)), ["Mul"]),
    (
        "squeeze and excite",
        lambda net, x: net.op(
            "Mul", x, net.op("Sigmoid", conv(net, net.op("ReduceMean", x, [1, 2]), pads=[0] * 4, kernel=1))
        ),
        ["GlobalAveragePool", "Conv", "Sigmoid", "Mul"],
    ),
    (
        "squeeze and excite, dense",
        lambda net, x: net.op(
            "Mul",
            x,
            net.op(
                "Reshape",
                net.op("Sigmoid", net.op("MatMul", net.op("ReduceMean", x, [1, 2], keepdims=0), net.normal(4, 4))),
                [1, 1, 1, 4],
            ),
        ),
        ["GlobalAveragePool", "Reshape", "Gemm", "Sigmoid", "Reshape", "Mul"],
    ),
    (
        "max pool",
        lambda net, x: last(net, net.op("MaxPool", first(net, x), kernel_shape=[3, 3], pads=[1] * 4)),
        ["MaxPool"],
    ),
]


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in BETWEEN], ids=[row[0] for row in BETWEEN])
def test_transposes_around_convolutions_cancel(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.input("x", (1, 6, 6, 4))
    y = conv(net, build(net, conv(net, x)), 4, 3)
    net.output(y)
    graph = check(net, ["Transpose", "Conv", *expected, "Conv", "Transpose"], rng)
    assert ops(graph)[0] == ops(graph)[-1] == "Transpose"


def test_the_one_transpose_stands_at_the_input(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.input("x", (1, 6, 6, 4))
    y = net.op("Sub", net.op("Mul", x, f(1 / 127.5)), f(1))
    net.output(net.op("ReduceMean", conv(net, y, pads=[0] * 4), [1, 2], keepdims=0))
    check(net, ["Transpose", "Conv", "GlobalAveragePool", "Reshape"], rng)


def test_the_one_transpose_stands_at_the_output(rng: np.random.Generator) -> None:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    net.output(net.op("Relu", net.op("Add", last(net, net.conv(x, 4, 3)), net.normal(3))))
    graph = check(net, ["Conv", "Relu", "Transpose"], rng)
    assert graph.outputs[0].name == "relu_4"
    assert shape(graph.outputs[0]) == (1, 4, 4, 3)


def test_arg_max_of_channels_reads_the_convolution(rng: np.random.Generator) -> None:
    import onnx

    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    net.output(net.op("ArgMax", last(net, net.conv(x, 4, 3)), axis=-1, keepdims=0), dtype=onnx.TensorProto.INT64)
    check(net, ["Conv", "ArgMax"], rng)


def test_flatten_of_channels_last_permutes_the_rows_of_the_weight(rng: np.random.Generator) -> None:
    for trans_b in (0, 1):
        net = Net()
        x = net.input("x", (1, 4, 6, 6))
        y = net.op("Reshape", net.op("Relu", last(net, net.conv(x, 4, 3))), [1, -1])
        weight = net.normal(48, 5)
        net.output(
            net.op("Gemm", net.op("Tanh", y), weight.T.copy() if trans_b else weight, net.normal(5), transB=trans_b)
        )
        check(net, ["Conv", "Relu", "Reshape", "Tanh", "Gemm"], rng, 1e-5)


def test_flatten_read_by_two_layers(rng: np.random.Generator) -> None:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    y = net.op("Flatten", last(net, net.conv(x, 4, 3)))
    net.output(net.op("MatMul", y, net.normal(48, 5)), net.op("MatMul", y, net.normal(48, 2)))
    check(net, ["Conv", "Reshape", "Gemm", "Gemm"], rng, 1e-5)


def test_flatten_that_is_an_output_keeps_its_order(rng: np.random.Generator) -> None:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    net.output(net.op("Flatten", last(net, net.conv(x, 4, 3))))
    check(net, ["Conv", "Transpose", "Reshape"], rng)


def test_dense_layer_in_front_of_an_image_permutes_the_columns(rng: np.random.Generator) -> None:
    """The beginning of a Keras generator."""
    net = Net()
    x = net.input("x", (1, 7))
    y = net.op("Add", net.op("MatMul", x, net.normal(7, 3 * 3 * 4)), net.normal(36))
    y = net.op("Reshape", net.op("Relu", y), [1, 3, 3, 4])
    net.output(net.op("ConvTranspose", first(net, y), net.normal(4, 2, 2, 2), strides=[2, 2]))
    check(net, ["Gemm", "Relu", "Reshape", "ConvTranspose"], rng, 1e-5)


def test_a_needed_transpose_stays_one(rng: np.random.Generator) -> None:
    """Patches of a vision transformer: nothing would become cheaper."""
    net = Net(opset=18)
    x = net.input("x", (1, 4, 6, 6))
    y = net.op("Transpose", net.op("Reshape", net.conv(x, 4, 8), [1, 8, 16]), perm=[0, 2, 1])
    y = net.op("Add", y, net.normal(1, 16, 8))
    z = net.op("LayerNormalization", y, net.positive(8), axis=-1)
    net.output(net.op("Add", y, net.op("MatMul", z, net.normal(8, 8))))
    check(net, ["Conv", "Reshape", "Transpose", "Add", "LayerNormalization", "MatMul", "Add"], rng, 1e-5)


def test_heads_of_attention_keep_the_batch_in_front(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.input("x", (1, 6, 8))
    y = net.op("Reshape", net.op("MatMul", x, net.normal(8, 24)), [1, 6, 3, 2, 4])
    y = net.op("Transpose", y, perm=[2, 0, 3, 1, 4])
    q, k, v = (net.op("Gather", y, np.array(i, np.int64), axis=0) for i in range(3))
    k = net.op("Reshape", net.op("Transpose", net.op("Reshape", k, [2, 6, 4]), perm=[0, 2, 1]), [1, 2, 4, 6])
    y = net.op("MatMul", net.op("Softmax", net.op("MatMul", q, k), axis=-1), v)
    net.output(net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1, 3]), [1, 6, 8]))
    graph = prepare(load_onnx(net.model()))
    assert graph.batched
    check(
        net,
        [
            "MatMul",
            "Reshape",
            *["Slice", "Reshape", "Transpose"] * 3,
            "MatMul",
            "Softmax",
            "MatMul",
            "Transpose",
            "Reshape",
        ],
        rng,
        1e-5,
    )


def test_channel_shuffle_stays(rng: np.random.Generator) -> None:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    y = net.op("Transpose", net.op("Reshape", net.conv(x, 4, 4), [1, 2, 2, 4, 4]), perm=[0, 2, 1, 3, 4])
    net.output(net.op("Relu", net.conv(net.op("Reshape", y, [1, 4, 4, 4]), 4, 2)))
    check(net, ["Conv", "Reshape", "Transpose", "Reshape", "Conv", "Relu"], rng)
