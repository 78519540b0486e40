"""Roots and logarithms of sums of squares are computed from a norm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.engines import sqnr
from intaglio_tests.onnx_net import Net, check

import intaglio as ig
from intaglio.frontends import prepare

f = np.float32
Value = str


def power(net: Net, *values: Value) -> Value:
    squares = [net.op("Mul", v, v) if i % 2 else net.op("Pow", v, f(2)) for i, v in enumerate(values)]
    total = squares[0]
    for square in squares[1:]:
        total = net.op("Add", total, square)
    return total


def halves(net: Net, x: Value, axis: int, size: int) -> list[Value]:
    bounds = ((0, size), (size, 2 * size))
    return [net.op("Slice", x, np.array([a]), np.array([b]), np.array([axis])) for a, b in bounds]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("axis", [1, 2])
def test_halves_of_one_value_are_not_copied(turned: bool, axis: int, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    parts = halves(net, net.op("Tanh", net.input("x", (2, 6, 8))), axis, (6, 8)[axis - 1] // 2)
    net.output(net.op("Sqrt", power(net, *(parts[::-1] if turned else parts))))
    check(net, ["Tanh", "Reshape", "ReduceL2"], rng, 1e-5)


def test_a_part_of_the_axis_is_cut_out_first(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    parts = halves(net, net.op("Tanh", net.input("x", (2, 6, 8))), 2, 3)
    net.output(net.op("Sqrt", power(net, *parts)))
    check(net, ["Tanh", "Slice", "Reshape", "ReduceL2"], rng, 1e-5)


def test_real_and_imaginary_parts_on_the_last_axis(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (2, 6, 2)))
    net.output(net.op("Sqrt", power(net, *(net.op("Gather", x, np.array(i), axis=2) for i in (0, 1)))))
    check(net, ["Tanh", "ReduceL2"], rng, 1e-5)


def test_outputs_of_a_split(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (2, 6, 8)))
    parts = net.op("Split", x, np.array([3, 3]), axis=1, outputs=2)
    net.output(net.op("Sqrt", power(net, *parts)))
    check(net, ["Tanh", "Reshape", "ReduceL2"], rng, 1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_other_values_are_stacked(count: int, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    values = [net.op("Tanh", net.input(f"x{i}", (2, 5, 3))) for i in range(count)]
    net.output(net.op("Sqrt", power(net, *values)))
    check(net, ["Tanh"] * count + ["Reshape"] * count + ["Concat", "ReduceL2"], rng, 1e-5)


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_constant_is_one_more_square(place: str, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    a, b = (net.op("Tanh", net.input(name, (2, 5, 3))) for name in "ab")
    if place == "last":
        total = net.op("Add", power(net, a, b), f(0.25))
    else:
        total = net.op("Add", net.op("Add", net.op("Pow", a, f(2)), f(0.25)), net.op("Pow", b, f(2)))
    net.output(net.op("Sqrt", total))
    check(net, ["Tanh", "Tanh", "Reshape", "Reshape", "Concat", "Pad", "ReduceL2"], rng, 1e-5)


def test_a_logarithm_of_a_power(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    parts = halves(net, net.op("Tanh", net.input("x", (2, 6, 8))), 1, 3)
    net.output(net.op("Log", net.op("Add", power(net, *parts), f(0.01))))
    check(net, ["Tanh", "Reshape", "Pad", "ReduceL2", "Log", "Mul"], rng, 1e-5)


def one_square(net: Net, a: Value, b: Value) -> Value:
    return net.op("Add", net.op("Pow", a, f(2)), f(0.5))


def a_product(net: Net, a: Value, b: Value) -> Value:
    return net.op("Add", net.op("Pow", a, f(2)), net.op("Exp", b))


def below_zero(net: Net, a: Value, b: Value) -> Value:
    return net.op("Add", power(net, a, b), f(-1e-9))


def broadcast(net: Net, a: Value, b: Value) -> Value:
    return power(net, a, net.op("ReduceMax", b, np.array([2]), keepdims=1))


@pytest.mark.parametrize("form", [one_square, a_product, below_zero, broadcast], ids=lambda form: form.__name__)
def test_other_sums_stay(form: Callable[[Net, Value, Value], Value]) -> None:
    net = Net(opset=18)
    a, b = (net.op("Sigmoid", net.input(name, (2, 5, 3))) for name in "ab")
    net.output(net.op("Sqrt", form(net, a, b)))
    graph = prepare(ig.load(net.model()))
    assert "ReduceL2" not in [node.op_type for node in graph.nodes]


def test_quiet_magnitudes_keep_their_bits(rng: np.random.Generator) -> None:
    """Magnitudes of 1/1000 of the largest one: in 16 bits a power has lost them, a norm has not."""
    net = Net(opset=18)
    x = net.input("x", (1, 2, 64))
    net.output(net.op("Sqrt", power(net, *halves(net, x, 1, 1))))
    data = rng.normal(size=(32, 2, 64)).astype(f)
    data[:, :, 1:] *= f(1e-3)
    program = ig.quantize(ig.load(net.model()), data, "int16x8", calibrator="max").lower()
    got, want = program.run(data), np.sqrt((data**2).sum(axis=1, keepdims=True))
    assert sqnr(got[..., 1:], want[..., 1:]) > 20
