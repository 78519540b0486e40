"""Batch norm, scales and shifts beside a product disappear into it, where that is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, assert_same, feeds_for, ops, run

from intaglio.frontends import load_onnx, prepare


def conv_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.batch_norm(net.conv(x, 4, 8, pads=[1] * 4), 8))


def conv_without_bias_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.batch_norm(net.conv(x, 4, 8, bias=False), 8))


def grouped_conv_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.batch_norm(net.conv(x, 4, 8, group=2), 8))


def conv_1d_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 9))
    return net.output(net.batch_norm(net.conv(x, 4, 8, rank=1), 8))


def conv_transpose_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 5, 5))
    y = net.op("ConvTranspose", x, net.normal(4, 3, 2, 2), net.normal(6), strides=[2, 2], group=2)
    return net.output(net.batch_norm(y, 6))


def batch_norm_then_conv_transpose() -> Net:
    """Only a scale can pass: borders get fewer terms."""
    net = Net()
    x = net.input("x", (1, 4, 5, 5))
    y = net.op("Mul", x, net.normal(1, 4, 1, 1))
    return net.output(net.op("ConvTranspose", y, net.normal(4, 3, 3, 3), group=2))


def gemm_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 5))
    return net.output(net.batch_norm(net.op("Gemm", x, net.normal(7, 5), net.normal(7), transB=1), 7))


def scaled_gemm_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 5))
    return net.output(net.batch_norm(net.op("Gemm", x, net.normal(5, 7), net.normal(1, 7), alpha=0.5, beta=2.0), 7))


def matmul_then_batch_norm() -> Net:
    net = Net()
    x = net.input("x", (1, 5))
    return net.output(net.batch_norm(net.op("MatMul", x, net.normal(5, 7)), 7))


def batch_norm_then_gemm() -> Net:
    net = Net()
    x = net.input("x", (1, 5))
    return net.output(net.op("Gemm", net.batch_norm(x, 5), net.normal(7, 5), net.normal(7), transB=1))


def batch_norm_then_matmul() -> Net:
    net = Net()
    x = net.input("x", (1, 5))
    return net.output(net.op("MatMul", net.batch_norm(x, 5), net.normal(5, 7)))


def batch_norm_then_unpadded_conv() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.conv(net.batch_norm(x, 4), 4, 8, group=2))


def scale_then_padded_conv() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.conv(net.op("Div", x, net.positive(4, 1, 1)), 4, 8, pads=[1] * 4))


def batch_norm_then_two_convs() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    y = net.batch_norm(x, 4)
    return net.output(net.conv(y, 4, 8), net.conv(y, 4, 2, kernel=1))


def chain_behind_conv() -> Net:
    """(y - mean) * scale / c + bias, one constant of each broadcast form."""
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    y = net.op("Sub", net.conv(x, 4, 8), net.normal(1, 8, 1, 1))
    y = net.op("Div", net.op("Mul", net.positive(8, 1, 1), y), np.float32(1.7))
    return net.output(net.op("Add", y, net.normal(1, 8, 1, 1)))


def chain_behind_transpose() -> Net:
    """As Keras models are exported: channels last between the convolutions."""
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    y = net.op("Transpose", net.conv(x, 4, 8, bias=False), perm=[0, 2, 3, 1])
    y = net.op("Sub", y, net.normal(1, 1, 1, 8))
    y = net.op("Mul", y, net.positive(8))
    y = net.op("Add", y, net.normal(1, 8))
    y = net.op("Clip", y, np.float32(0.0), np.float32(6.0))
    return net.output(net.conv(net.op("Transpose", y, perm=[0, 3, 1, 2]), 8, 3))


def scales_behind_matmul_of_rank_3() -> Net:
    net = Net()
    x = net.input("x", (1, 6, 5))
    y = net.op("Add", net.op("MatMul", x, net.normal(5, 7)), net.normal(7))
    return net.output(net.op("Add", net.op("Mul", y, net.positive(7)), net.normal(1, 1, 7)))


def negated_conv() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.op("Neg", net.conv(x, 4, 8)))


FOLDS: list[tuple[Callable[[], Net], list[str]]] = [
    (conv_then_batch_norm, ["Conv"]),
    (conv_without_bias_then_batch_norm, ["Conv"]),
    (grouped_conv_then_batch_norm, ["Conv"]),
    (conv_1d_then_batch_norm, ["Conv"]),
    (conv_transpose_then_batch_norm, ["ConvTranspose"]),
    (batch_norm_then_conv_transpose, ["ConvTranspose"]),
    (gemm_then_batch_norm, ["Gemm"]),
    (scaled_gemm_then_batch_norm, ["Gemm"]),
    (matmul_then_batch_norm, ["Gemm"]),
    (batch_norm_then_gemm, ["Gemm"]),
    (batch_norm_then_matmul, ["Gemm"]),
    (batch_norm_then_unpadded_conv, ["Conv"]),
    (scale_then_padded_conv, ["Conv"]),
    (batch_norm_then_two_convs, ["Conv", "Conv"]),
    (chain_behind_conv, ["Conv"]),
    (chain_behind_transpose, ["Conv", "Clip", "Conv"]),
    (scales_behind_matmul_of_rank_3, ["MatMul", "Add"]),
    (negated_conv, ["Conv"]),
]


@pytest.mark.parametrize(("make", "expected"), FOLDS, ids=lambda item: getattr(item, "__name__", ""))
def test_affine_step_is_folded_and_result_stays(
    make: Callable[[], Net], expected: list[str], rng: np.random.Generator
) -> None:
    model = make().model()
    graph = prepare(load_onnx(model))
    assert ops(graph) == expected
    feeds = feeds_for(model, rng)
    # One more rounding of each weight, and sums in another order.
    assert_same(run(graph, feeds), run(model, feeds), 2e-6)


def batch_norm_then_padded_conv() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.conv(net.batch_norm(x, 4), 4, 8, pads=[1] * 4))


def batch_norm_behind_relu() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.op("Relu", net.batch_norm(net.op("Relu", net.conv(x, 4, 8)), 8)))


def conv_read_twice() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    y = net.conv(x, 4, 8)
    return net.output(net.op("Add", net.batch_norm(y, 8), y))


def conv_is_an_output() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    y = net.conv(x, 4, 8)
    return net.output(y, net.batch_norm(y, 8))


def scale_per_column() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.op("Mul", net.conv(x, 4, 8), net.normal(4)))


def computed_weight() -> Net:
    net = Net()
    x, w = net.input("x", (1, 4, 6, 6)), net.input("w", (8, 4, 3, 3))
    return net.output(net.batch_norm(net.op("Conv", x, w), 8))


AS_PRODUCT = ["Gather", "Gather", "Transpose", "Reshape", "Reshape", "MatMul", "Reshape"]  # a Conv of a computed weight

STAYS: list[tuple[Callable[[], Net], list[str]]] = [
    (batch_norm_then_padded_conv, ["BatchNormalization", "Conv"]),
    (batch_norm_behind_relu, ["Conv", "Relu", "BatchNormalization", "Relu"]),
    (conv_read_twice, ["Conv", "BatchNormalization", "Add"]),
    (conv_is_an_output, ["Conv", "BatchNormalization"]),
    (scale_per_column, ["Conv", "Mul"]),
    (computed_weight, [*AS_PRODUCT, "BatchNormalization"]),
]


@pytest.mark.parametrize(("make", "expected"), STAYS, ids=lambda item: getattr(item, "__name__", ""))
def test_affine_step_stays_where_folding_would_not_be_exact(
    make: Callable[[], Net], expected: list[str], rng: np.random.Generator
) -> None:
    model = make().model()
    graph = prepare(load_onnx(model))
    assert ops(graph) == expected
    feeds = feeds_for(model, rng)
    assert_same(run(graph, feeds), run(model, feeds), 2e-6)


def test_left_over_mul_and_add_are_one_batch_normalization(rng: np.random.Generator) -> None:
    net = Net()
    x = net.input("x", (1, 3, 6, 6))
    y = net.op("Div", net.op("Sub", x, net.normal(1, 3, 1, 1)), net.positive(3, 1, 1))
    model = net.output(net.conv(y, 3, 8, pads=[1] * 4)).model()
    graph = prepare(load_onnx(model))
    assert ops(graph) == ["BatchNormalization", "Conv"]
    feeds = feeds_for(model, rng)
    assert_same(run(graph, feeds), run(model, feeds), 2e-6)


def test_values_keep_the_name_of_what_they_are_and_weights_theirs() -> None:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    weight = net.constant(net.normal(8, 4, 3, 3), "features.0.weight")
    y = net.op("Conv", x, weight, name="conv_out")
    y = net.op("BatchNormalization", y, *(net.positive(8) for _ in range(4)), name="bn_out")
    graph = prepare(load_onnx(net.output(net.op("Relu", y, name="relu_out")).model()))
    assert [node.outputs[0].name for node in graph.nodes] == ["bn_out", "relu_out"]
    assert [value.name for value in graph.initializers] == ["features.0.weight", "features.0.bias"]
    assert graph.history == ["[BatchNormalization 'node_bn_out'] folded into [Conv 'node_conv_out']"]
