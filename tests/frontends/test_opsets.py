"""The same small networks, written in every opset from 11 on, are the same Graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests.onnx_net import Net, assert_same, feeds_for, run

from intaglio.frontends import load_onnx, prepare
from intaglio.graph import NORMAL_OPSET

f = np.float32
NEWEST = onnx.defs.onnx_opset_version()
OPSETS = range(11, NEWEST + 1)
# ONNX Runtime does not run every newer opset yet. None of the operators here changed their meaning after this one.
NEWEST_IN_RUNTIME = 24


def reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    known = onnx.ModelProto()
    known.CopyFrom(model)
    known.opset_import[0].version = min(model.opset_import[0].version, NEWEST_IN_RUNTIME)
    known.ir_version = min(model.ir_version, 11)
    return run(known, feeds)


def with_axes(net: Net, op_type: str, x: str, axes: list[int], since: int, **attributes: Any) -> str:
    """Axes as an attribute before opset `since`, as an input from then on."""
    if net.opset < since:
        return net.op(op_type, x, axes=axes, **attributes)
    return net.op(op_type, x, axes, **attributes)


def softmax_default(net: Net, x: str) -> str:
    return net.op("Softmax", x)


def softmax_middle(net: Net, x: str) -> str:
    return net.op("Softmax", x, axis=2)


def softmax_last(net: Net, x: str) -> str:
    return net.op("Softmax", x, axis=-1)


def log_softmax_first(net: Net, x: str) -> str:
    return net.op("LogSoftmax", net.op("Identity", x), axis=1)


def softmax_over_all(net: Net, x: str) -> str:
    return net.op("LogSoftmax", net.op("Softmax", x, axis=0), axis=-4)


def gathered(net: Net, x: str) -> str:
    y = net.op("Gather", x, np.array([[0, 3], [5, 2]]), axis=-2)
    return net.op("Gather", net.op("Gather", y, np.array([[1]]), axis=-1), np.array(2), axis=-5)


def with_vectors(net: Net, x: str) -> str:
    y = net.op("MatMul", net.op("MatMul", x, net.normal(6)), net.normal(6))
    return net.op("MatMul", net.normal(6), net.op("Add", x, with_axes(net, "Unsqueeze", y, [2, 3], 13)))


def pooled_beyond_the_image(net: Net, x: str) -> str:
    y = net.op("MaxPool", x, kernel_shape=[1, 2], strides=[2, 3], ceil_mode=1)
    y = net.op("AveragePool", y, kernel_shape=[1, 1], strides=[2, 1], pads=[0, 0, 0, 0], ceil_mode=1)
    return net.op("Reshape", y, [1, -1])


def split_parts(net: Net, x: str) -> str:
    parts = [
        net.op("Split", x, [1, 3], axis=1, outputs=2)
        if net.opset >= 13
        else net.op("Split", x, axis=1, split=[1, 3], outputs=2)
    ]
    return net.op("Concat", *reversed(parts[0]), axis=-3)


def split_evenly(net: Net, x: str) -> str:
    attributes = {"num_outputs": 2} if net.opset >= 18 else {}
    return net.op("Sub", *net.op("Split", x, axis=-1, outputs=2, **attributes))


def squeezed(net: Net, x: str) -> str:
    y = with_axes(net, "Unsqueeze", x, [1, -1], 13)
    y = net.op("Relu", with_axes(net, "Squeeze", y, [-1], 13))
    return net.op("Exp", net.op("Squeeze", y))


def reduced(net: Net, x: str) -> str:
    y = with_axes(net, "ReduceMean", x, [-1], 18)
    y = net.op("Add", y, with_axes(net, "ReduceSum", x, [2, 3], 13, keepdims=1))
    y = net.op("Add", y, with_axes(net, "ReduceMax", x, [1], 18))
    return net.op("Mul", y, net.op("ReduceMean", x))


def clipped(net: Net, x: str) -> str:
    return net.op("Clip", net.op("Clip", x, f(-0.5)), "", f(0.7))


def dropped(net: Net, x: str) -> str:
    y = net.op("Dropout", x) if net.opset < 12 else net.op("Dropout", x, f(0.4))
    return net.op("Tanh", y)


def normalized(net: Net, x: str) -> str:
    return net.batch_norm(net.op("Relu", net.batch_norm(net.conv(x, 4, 4), 4)), 4)


def padded(net: Net, x: str) -> str:
    y = net.op("Pad", x, [0, 0, 1, 2, 0, 0, -1, 0], f(0.3))
    return net.op("Pad", y, [0, 0, 0, 2, 0, 1, 0, 0], mode="edge")


def padded_axes(net: Net, x: str) -> str:
    if net.opset < 18:
        return net.op("Pad", x, [0, 0, 0, 2, 0, 0, 0, 1])
    return net.op("Pad", x, [2, 1], "", [-1])


def sliced(net: Net, x: str) -> str:
    y = net.op("Slice", x, [-3, 100], [2**40, -100], [2, -1], [1, -2])
    return net.op("Slice", y, [1], [3], [1])


def resized_nearest(net: Net, x: str) -> str:
    roi = np.zeros(0, f) if net.opset < 13 else ""
    return net.op(
        "Resize",
        x,
        roi,
        np.array([1, 1, 2, 1.5], f),
        coordinate_transformation_mode="asymmetric",
        mode="nearest",
        nearest_mode="floor",
    )


def resized_to(net: Net, x: str) -> str:
    roi, scales = (np.zeros(0, f), np.zeros(0, f)) if net.opset < 13 else ("", "")
    return net.op("Resize", x, roi, scales, [1, 4, 7, 5], mode="linear", coordinate_transformation_mode="align_corners")


def resized_axes(net: Net, x: str) -> str:
    roi = np.zeros(0, f) if net.opset < 13 else ""
    if net.opset < 18:
        return net.op("Resize", x, roi, np.array([1, 1, 1, 2], f), mode="linear")
    return net.op("Resize", x, roi, np.array([2], f), mode="linear", axes=[3])


def pooled(net: Net, x: str) -> str:
    y = net.op("MaxPool", x, kernel_shape=[3, 2], strides=[2, 1], auto_pad="SAME_UPPER")
    y = net.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    return net.op("MaxPool", y, kernel_shape=[2, 2], auto_pad="SAME_LOWER", ceil_mode=1)


def convolved(net: Net, x: str) -> str:
    y = net.conv(x, 4, 4, auto_pad="SAME_LOWER", strides=[2, 1], kernel=2)
    y = net.conv(y, 4, 4, auto_pad="VALID", kernel=1, dilations=[2, 2])
    return net.op("ConvTranspose", y, net.normal(4, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")


def convolved_to_size(net: Net, x: str) -> str:
    return net.op("ConvTranspose", x, net.normal(4, 2, 3, 3), strides=[2, 2], output_shape=[12, 13])


def expanded(net: Net, x: str) -> str:
    y = net.op("Expand", with_axes(net, "ReduceMean", x, [1], 18), [4, 1, 1])
    return net.op("Mul", y, x)


def scaled(net: Net, x: str) -> str:
    """Constants as nodes, whose value is an attribute of any kind."""
    half = (
        net.op("Constant", value_float=0.5)
        if net.opset >= 12
        else net.op("Constant", value=onnx.numpy_helper.from_array(np.array(0.5, f)))
    )
    return net.op("Mul", x, half)


def reshaped(net: Net, x: str) -> str:
    """The shape arithmetic that exporters write."""
    sizes = net.op("Shape", x)
    batch = with_axes(net, "Unsqueeze", net.op("Gather", sizes, np.array(0, np.int64)), [0], 13)
    return net.op("Tanh", net.op("Reshape", x, net.op("Concat", batch, [-1], axis=0)))


def mixed(net: Net, x: str) -> str:
    y = net.op("LeakyRelu", net.op("DepthToSpace", x, blocksize=2))
    y = net.op("Elu", net.op("SpaceToDepth", y, blocksize=2), alpha=0.7)
    return net.op("Min", net.op("Max", net.op("Sum", y, x), f(-1)), f(1), net.normal(4, 1, 1))


BUILDS: list[Callable[[Net, str], str]] = [
    softmax_default, softmax_middle, softmax_last, log_softmax_first, softmax_over_all, gathered, with_vectors,
    pooled_beyond_the_image, split_parts, split_evenly, squeezed, reduced,
    clipped, dropped, normalized, padded, padded_axes, sliced, resized_nearest, resized_to, resized_axes, pooled,
    convolved, convolved_to_size, expanded, scaled, reshaped, mixed,
]  # fmt: skip


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_every_opset_says_the_same(build: Callable[[Net, str], str], rng: np.random.Generator) -> None:
    for opset in OPSETS:
        net = Net(opset=opset)
        net.output(build(net, net.input("x", (1, 4, 6, 6))))
        model = net.model()
        graph = load_onnx(model)
        assert graph.model.opset_imports == {"": NORMAL_OPSET}
        feeds = feeds_for(model, rng)
        wanted = reference(model, feeds)
        assert_same(run(graph, feeds), wanted, 3e-6)
        assert_same(run(prepare(graph), feeds), wanted, 3e-6)


BEFORE_AXES = [
    softmax_default, softmax_middle, softmax_last, log_softmax_first, softmax_over_all, gathered, with_vectors,
    split_parts, split_evenly, squeezed, reduced, normalized, convolved, convolved_to_size, reshaped,
]  # fmt: skip


@pytest.mark.parametrize("build", BEFORE_AXES, ids=lambda build: build.__name__)
def test_older_opsets_say_the_same(build: Callable[[Net, str], str], rng: np.random.Generator) -> None:
    """Negative axes too, which ONNX had from opset 11 on and exporters before."""
    for opset in range(7, 11):
        net = Net(opset=opset)
        net.output(build(net, net.input("x", (1, 4, 6, 6))))
        model = net.model()
        feeds = feeds_for(model, rng)
        wanted = run(model, feeds)
        graph = load_onnx(model)
        assert_same(run(graph, feeds), wanted, 3e-6)
        assert_same(run(prepare(graph), feeds), wanted, 3e-6)


@pytest.mark.parametrize("opset", [7, 8, 9, 10])
def test_older_forms_of_image_networks_are_read(opset: int, rng: np.random.Generator) -> None:
    net = Net(opset=opset)
    x = net.input("x", (1, 4, 6, 6))
    y = net.op("Clip", net.batch_norm(net.conv(x, 4, 4), 4), min=0.0, max=6.0)
    y = net.op("Pad", y, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.5)
    if opset < 9:
        y = net.op("Upsample", y, scales=[1.0, 1.0, 2.0, 2.0], mode="nearest")
    elif opset == 9:
        y = net.op("Upsample", y, np.array([1, 1, 2, 2], f), mode="nearest")
    else:
        y = net.op("Slice", net.op("Resize", y, np.array([1, 1, 2, 2], f), mode="nearest"), [0], [12], [2], [1])
    if opset < 10:
        y = net.op("Slice", y, axes=[2], starts=[0], ends=[12])
    y = net.op(
        "Gemm", net.op("Flatten", net.op("GlobalAveragePool", net.op("Dropout", y))), net.normal(4, 3), net.normal(3)
    )
    model = net.output(net.op("Softmax", y)).model()
    feeds = feeds_for(model, rng)
    assert_same(run(prepare(load_onnx(model)), feeds), run(model, feeds))


def test_an_opset_beyond_the_library_is_refused() -> None:
    from intaglio.errors import ModelError

    net = Net()
    net.output(net.op("Relu", net.input("x", (1, 4))))
    model = net.model()
    for version in (3, 999):
        model.opset_import[0].version = version
        with pytest.raises(ModelError, match=f"expected ONNX opset 7 to {NEWEST}, which .*, got {version}"):
            load_onnx(model)


def test_an_operator_newer_than_the_normal_opset_is_refused() -> None:
    from intaglio.errors import UnsupportedOperatorError

    if not onnx.defs.has("CumProd", 26):
        pytest.skip("this onnx knows no operator newer than the normal opset")
    net = Net(opset=26)
    net.output(net.op("CumProd", net.input("x", (1, 4)), np.array(1, np.int64)))
    with pytest.raises(
        UnsupportedOperatorError, match=r"\[CumProd 'node_cumprod_1'\].* opset 26 that did not exist then"
    ):
        load_onnx(net.model())
