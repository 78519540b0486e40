"""Sums of squares and norms come back as one operator."""

from __future__ import annotations

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, check

f = np.float32


def network(keepdims: int) -> tuple[Net, str]:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (1, 6, 8)))
    return net, net.op("ReduceMean", net.op("Mul", x, x), [2], keepdims=keepdims)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_mean_of_squares_is_a_sum_of_squares_with_a_factor(keepdims: int, rng: np.random.Generator) -> None:
    net, mean = network(keepdims)
    net.output(mean)
    check(net, ["Tanh", "ReduceSumSquare", "Mul"], rng, 1e-5)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_deviation_is_a_norm_with_a_factor(keepdims: int, rng: np.random.Generator) -> None:
    net, mean = network(keepdims)
    net.output(net.op("Sqrt", net.op("Mul", mean, f(8 / 7))))
    check(net, ["Tanh", "ReduceL2", "Mul"], rng, 1e-5)


def test_cosine_similarity_has_a_product_of_norms(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x, y = net.op("Tanh", net.input("x", (1, 6, 8))), net.op("Sin", net.input("y", (1, 6, 8)))
    squares = [net.op("ReduceSum", net.op("Mul", v, v), [2], keepdims=1) for v in (x, y)]
    net.output(net.op("Sqrt", net.op("Mul", *squares)))
    check(net, ["Tanh", "Sin", "ReduceL2", "ReduceL2", "Mul"], rng, 1e-5)
