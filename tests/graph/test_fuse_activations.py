"""Activations that exporters take apart come back as one operator."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, check

f = np.float32
Build = Callable[[Net, str], str]


def relu6(net: Net, x: str) -> str:
    return net.op("Clip", x, f(0), f(6))


def relu6_of_min_max(net: Net, x: str) -> str:
    return net.op("Min", net.op("Max", x, f(0)), np.full((1,), 6, f))


def hard_swish_div_last(net: Net, x: str) -> str:
    return net.op("Div", net.op("Mul", x, relu6(net, net.op("Add", x, f(3)))), f(6))


def hard_swish_div_first(net: Net, x: str) -> str:
    return net.op("Mul", x, net.op("Div", relu6_of_min_max(net, net.op("Add", f(3), x)), f(6)))


def hard_swish_mul(net: Net, x: str) -> str:
    return net.op("Mul", net.op("Mul", relu6(net, net.op("Add", x, f(3))), f(1 / 6)), x)


def hard_swish_of_hard_sigmoid(net: Net, x: str) -> str:
    return net.op("Mul", x, net.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def hard_sigmoid_by_six(net: Net, x: str) -> str:
    return net.op("Div", relu6(net, net.op("Add", x, f(3))), f(6))


def hard_sigmoid_keras(net: Net, x: str) -> str:
    return net.op("Clip", net.op("Add", net.op("Mul", x, f(0.2)), f(0.5)), f(0), f(1))


def sigmoid_of_exp(net: Net, x: str) -> str:
    return net.op("Div", f(1), net.op("Add", f(1), net.op("Exp", net.op("Neg", x))))


def sigmoid_of_two_exps(net: Net, x: str) -> str:
    return net.op("Div", net.op("Exp", x), net.op("Add", f(1), net.op("Exp", x)))


def sigmoid_of_tanh(net: Net, x: str) -> str:
    return net.op("Add", net.op("Mul", f(0.5), net.op("Tanh", net.op("Mul", x, f(0.5)))), f(0.5))


def sigmoid_of_tanh_halved_last(net: Net, x: str) -> str:
    return net.op("Div", net.op("Add", net.op("Tanh", net.op("Div", x, f(2))), f(1)), f(2))


def tanh_of_sigmoid(net: Net, x: str) -> str:
    return net.op("Sub", net.op("Mul", f(2), net.op("Sigmoid", net.op("Mul", f(2), x))), f(1))


def tanh_of_exps(net: Net, x: str) -> str:
    plus, minus = net.op("Exp", x), net.op("Exp", net.op("Neg", x))
    return net.op("Div", net.op("Sub", plus, minus), net.op("Add", plus, minus))


def softsign(net: Net, x: str) -> str:
    return net.op("Div", x, net.op("Add", f(1), net.op("Abs", x)))


def leaky_relu_by_where(net: Net, x: str) -> str:
    return net.op("Where", net.op("GreaterOrEqual", x, f(0)), x, net.op("Mul", x, f(-1.5)))


def silu(net: Net, x: str) -> str:
    return net.op("Mul", net.op("Sigmoid", x), x)


def silu_alpha(net: Net, x: str) -> str:
    return net.op("Mul", x, net.op("Sigmoid", net.op("Mul", x, f(1.702))))


def silu_of_exp(net: Net, x: str) -> str:
    return net.op("Div", x, net.op("Add", net.op("Exp", net.op("Neg", x)), f(1)))


def gelu_half_last(net: Net, x: str) -> str:
    gate = net.op("Add", net.op("Erf", net.op("Div", x, f(math.sqrt(2)))), f(1))
    return net.op("Mul", net.op("Mul", x, gate), f(0.5))


def gelu_half_first(net: Net, x: str) -> str:
    gate = net.op("Add", f(1), net.op("Erf", net.op("Mul", x, f(math.sqrt(0.5)))))
    return net.op("Mul", net.op("Mul", f(0.5), x), gate)


def gelu_half_inside(net: Net, x: str) -> str:
    gate = net.op("Mul", f(0.5), net.op("Add", f(1), net.op("Erf", net.op("Mul", x, f(0.7071067811865475)))))
    return net.op("Mul", x, gate)


def gelu_tanh(net: Net, x: str) -> str:
    inner = net.op("Add", x, net.op("Mul", net.op("Pow", x, f(3)), f(0.044715)))
    gate = net.op("Add", net.op("Tanh", net.op("Mul", inner, f(math.sqrt(2 / math.pi)))), f(1))
    return net.op("Mul", net.op("Mul", x, f(0.5)), gate)


def gelu_tanh_of_products(net: Net, x: str) -> str:
    cube = net.op("Mul", net.op("Mul", x, x), x)
    inner = net.op("Mul", f(0.7978845608), net.op("Add", x, net.op("Mul", f(0.044715), cube)))
    return net.op("Mul", f(0.5), net.op("Mul", x, net.op("Add", f(1), net.op("Tanh", inner))))


def gelu_tanh_factored(net: Net, x: str) -> str:
    square = net.op("Mul", net.op("Mul", x, x), f(0.044715))
    inner = net.op("Mul", net.op("Mul", x, f(0.7978845608)), net.op("Add", square, f(1)))
    return net.op("Mul", net.op("Mul", x, f(0.5)), net.op("Add", net.op("Tanh", inner), f(1)))


def softplus(net: Net, x: str) -> str:
    return net.op("Log", net.op("Add", net.op("Exp", x), f(1)))


def softplus_with_threshold(net: Net, x: str) -> str:
    return net.op("Where", net.op("Greater", x, f(20)), x, net.op("Softplus", x))


def mish(net: Net, x: str) -> str:
    return net.op("Mul", x, net.op("Tanh", net.op("Softplus", x)))


def mish_of_logs(net: Net, x: str) -> str:
    return net.op("Mul", net.op("Tanh", softplus(net, x)), x)


def leaky_relu(net: Net, x: str) -> str:
    return net.op("Max", net.op("Mul", x, f(0.1)), x)


def keras_prelu(net: Net, x: str) -> str:
    slope = np.linspace(-0.3, 0.4, 4, dtype=f).reshape(4, 1, 1)
    return net.op("Sub", net.op("Relu", x), net.op("Mul", slope, net.op("Relu", net.op("Neg", x))))


def prelu_of_one_slope(net: Net, x: str) -> str:
    return net.op("PRelu", x, np.full((4, 1, 1), 0.25, f))


ROWS: list[tuple[Build, str]] = [
    (hard_swish_div_last, "HardSwish"),
    (hard_swish_div_first, "HardSwish"),
    (hard_swish_mul, "HardSwish"),
    (hard_swish_of_hard_sigmoid, "HardSwish"),
    (hard_sigmoid_by_six, "HardSigmoid"),
    (hard_sigmoid_keras, "HardSigmoid"),
    (sigmoid_of_exp, "Sigmoid"),
    (sigmoid_of_two_exps, "Sigmoid"),
    (sigmoid_of_tanh, "Sigmoid"),
    (sigmoid_of_tanh_halved_last, "Sigmoid"),
    (tanh_of_sigmoid, "Tanh"),
    (tanh_of_exps, "Tanh"),
    (softsign, "Softsign"),
    (leaky_relu_by_where, "LeakyRelu"),
    (silu, "Swish"),
    (silu_alpha, "Swish"),
    (silu_of_exp, "Swish"),
    (gelu_half_last, "Gelu"),
    (gelu_half_first, "Gelu"),
    (gelu_half_inside, "Gelu"),
    (gelu_tanh, "Gelu"),
    (gelu_tanh_of_products, "Gelu"),
    (gelu_tanh_factored, "Gelu"),
    (softplus, "Softplus"),
    (softplus_with_threshold, "Softplus"),
    (mish, "Mish"),
    (mish_of_logs, "Mish"),
    (leaky_relu, "LeakyRelu"),
    (keras_prelu, "PRelu"),
    (prelu_of_one_slope, "LeakyRelu"),
]


@pytest.mark.parametrize(("build", "expected"), ROWS, ids=lambda item: getattr(item, "__name__", ""))
def test_activation_is_put_together(build: Build, expected: str, rng: np.random.Generator) -> None:
    net = Net()
    x = net.conv(net.input("x", (1, 3, 6, 6)), 3, 4)
    y = build(net, x)
    net.output(net.conv(y, 4, 2))
    # exp, erf and tanh of the fused operator are other approximations: a few ulp of numbers around 1.
    graph = check(net, ["Conv", expected, "Conv"], rng, 1e-5)
    assert graph.nodes[1].outputs[0].name == y


@pytest.mark.parametrize(
    "sigmoid",
    [lambda net, x: net.op("Sigmoid", x), sigmoid_of_exp, sigmoid_of_two_exps],
    ids=["Sigmoid", "by one exp", "by two"],
)
def test_logarithm_of_a_sigmoid_has_no_sigmoid(sigmoid: Build, rng: np.random.Generator) -> None:
    """Of -200 it is -200, which float32's log(sigmoid(x)) is not."""
    net = Net()
    y = net.op("Log", sigmoid(net, net.input("x", (1, 3, 6, 6))))
    net.output(y)
    graph = check(net, ["Neg", "Softplus", "Neg"], rng, 1e-5)
    assert graph.outputs[0].name == y


def test_exponential_of_a_log_softmax_is_a_softmax(rng: np.random.Generator) -> None:
    net = Net()
    net.output(net.op("Exp", net.op("LogSoftmax", net.input("x", (2, 5)), axis=1)))
    check(net, ["Softmax"], rng, 1e-5)


def test_tanh_form_is_told_apart() -> None:
    from intaglio.frontends import load_onnx, prepare
    from intaglio.graph import attribute

    for build, approximate in ((gelu_tanh, "tanh"), (gelu_half_last, "none")):
        net = Net()
        net.output(build(net, net.input("x", (1, 8))))
        node = prepare(load_onnx(net.model())).nodes[0]
        assert attribute(node, "approximate", "none") == approximate


def shifted_by_another_number(net: Net, x: str) -> str:
    return net.op("Mul", x, relu6(net, net.op("Add", x, f(2.9))))


def gate_of_another_value(net: Net, x: str) -> str:
    return net.op("Mul", net.op("Abs", x), net.op("Sigmoid", x))


def gate_read_elsewhere(net: Net, x: str) -> str:
    gate = net.op("Sigmoid", x)
    return net.op("Add", net.op("Mul", x, gate), gate)


def slope_above_one(net: Net, x: str) -> str:
    return net.op("Max", net.op("Mul", x, f(1.5)), x)


NOT: list[tuple[Build, list[str]]] = [
    (shifted_by_another_number, ["Add", "Clip", "Mul"]),
    (gate_of_another_value, ["Abs", "Sigmoid", "Mul"]),
    (gate_read_elsewhere, ["Sigmoid", "Mul", "Add"]),
    (slope_above_one, ["Mul", "Reshape", "Reshape", "Concat", "ReduceMax"]),
]


@pytest.mark.parametrize(("build", "expected"), NOT, ids=lambda item: getattr(item, "__name__", ""))
def test_what_only_looks_like_an_activation_stays(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net()
    net.output(build(net, net.op("Tanh", net.input("x", (1, 3, 6, 6)))))
    check(net, ["Tanh", *expected], rng)
