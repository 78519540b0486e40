"""Layer normalization and softmax come back as one operator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, assert_same, check, run

from intaglio.frontends import load_onnx, prepare
from intaglio.graph import attribute, constant

f = np.float32
Build = Callable[[Net, str], str]


def mean(net: Net, x: str) -> str:
    return net.op("ReduceMean", x, [-1], keepdims=1)


def layer_norm(net: Net, x: str) -> str:
    centred = net.op("Sub", x, mean(net, x))
    deviation = net.op("Sqrt", net.op("Add", mean(net, net.op("Pow", centred, f(2))), f(1e-5)))
    return net.op("Div", centred, deviation)


def layer_norm_with_scale_and_bias(net: Net, x: str) -> str:
    return net.op("Add", net.op("Mul", layer_norm(net, x), net.positive(8)), net.normal(8))


def layer_norm_computed_twice(net: Net, x: str) -> str:
    """TensorFlow centres twice and squares by a product."""
    first, second = (net.op("Sub", x, mean(net, x)) for _ in range(2))
    deviation = net.op("Sqrt", net.op("Add", mean(net, net.op("Mul", second, second)), f(1e-5)))
    return net.op("Add", net.op("Mul", net.op("Div", first, deviation), net.positive(1, 1, 8)), net.normal(8))


def layer_norm_by_reciprocal(net: Net, x: str) -> str:
    centred = net.op("Sub", x, mean(net, x))
    deviation = net.op("Sqrt", net.op("Add", f(1e-3), mean(net, net.op("Mul", centred, centred))))
    return net.op("Mul", net.op("Reciprocal", deviation), centred)


def layer_norm_tensorflow(net: Net, x: str) -> str:
    average = mean(net, x)
    variance = mean(net, net.op("Pow", net.op("Sub", x, average), f(2)))
    scale = net.op("Mul", net.op("Reciprocal", net.op("Sqrt", net.op("Add", variance, f(1e-3)))), net.positive(8))
    return net.op("Add", net.op("Mul", x, scale), net.op("Sub", net.normal(8), net.op("Mul", average, scale)))


@pytest.mark.parametrize(
    "build",
    [
        layer_norm,
        layer_norm_with_scale_and_bias,
        layer_norm_computed_twice,
        layer_norm_by_reciprocal,
        layer_norm_tensorflow,
    ],
    ids=lambda build: build.__name__,
)
def test_layer_normalization_is_put_together(build: Build, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    net.output(build(net, net.op("Tanh", net.input("x", (1, 6, 8)))))
    graph = check(net, ["Tanh", "LayerNormalization"], rng, 1e-5)
    assert attribute(graph.nodes[1], "axis") == 2


def test_layer_normalization_over_two_axes(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.input("x", (1, 3, 6, 8))
    average = net.op("ReduceMean", x, [2, 3], keepdims=1)
    centred = net.op("Sub", x, average)
    variance = net.op("ReduceMean", net.op("Mul", centred, centred), [-2, -1], keepdims=1)
    y = net.op("Div", centred, net.op("Sqrt", net.op("Add", variance, f(1e-5))))
    net.output(net.op("Mul", y, net.positive(6, 8)))
    graph = check(net, ["LayerNormalization"], rng, 1e-5)
    assert constant(graph.nodes[0].inputs[1]).shape == (6, 8)


def test_normalization_over_other_axes_moves_them_to_the_end(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (1, 3, 6, 8)))
    centred = net.op("Sub", x, net.op("ReduceMean", x, [1], keepdims=1))
    variance = net.op("ReduceMean", net.op("Mul", centred, centred), [1], keepdims=1)
    y = net.op("Div", centred, net.op("Sqrt", net.op("Add", variance, f(1e-5))))
    net.output(net.op("Add", net.op("Mul", y, net.positive(3, 1, 1)), net.normal(1, 3, 1, 1)))
    graph = check(net, ["Tanh", "Transpose", "LayerNormalization", "Transpose"], rng, 1e-5)
    assert constant(graph.nodes[2].inputs[1]).shape == (3,)


def rms(net: Net, x: str) -> str:
    square = net.op("ReduceMean", net.op("Pow", x, f(2)), [-1], keepdims=1)
    return net.op("Mul", x, net.op("Reciprocal", net.op("Sqrt", net.op("Add", square, f(1e-5)))))


def rms_with_gain(net: Net, x: str) -> str:
    return net.op("Mul", net.positive(8), rms(net, x))


def root_of_sum(net: Net, x: str) -> str:
    square = net.op("Add", net.op("ReduceSum", net.op("Mul", x, x), [2], keepdims=1), f(1e-2))
    return net.op("Mul", x, net.op("Pow", square, f(-0.5)))


@pytest.mark.parametrize("build", [rms, rms_with_gain, root_of_sum], ids=lambda build: build.__name__)
def test_rms_normalization_is_put_together(build: Build, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    net.output(build(net, net.op("Tanh", net.input("x", (1, 6, 8)))))
    check(net, ["Tanh", "RMSNormalization"], rng, 1e-5)


def by_norm(net: Net, x: str) -> str:
    return net.op("Div", x, net.op("ReduceL2", x, [1], keepdims=1))


def by_clipped_norm(net: Net, x: str) -> str:
    """As torch.nn.functional.normalize is exported."""
    norm = net.op("Clip", net.op("ReduceL2", x, [1], keepdims=1), f(1e-12))
    return net.op("Div", x, net.op("Expand", norm, net.constant(np.array([1, 6, 8]), "sizes")))


def by_root_of_clipped_sum(net: Net, x: str) -> str:
    """As tf.math.l2_normalize is exported."""
    square = net.op("Max", net.op("ReduceSum", net.op("Mul", x, x), [1], keepdims=1), f(1e-12))
    return net.op("Mul", x, net.op("Reciprocal", net.op("Sqrt", square)))


@pytest.mark.parametrize("build", [by_norm, by_clipped_norm, by_root_of_clipped_sum], ids=lambda b: b.__name__)
def test_l2_normalization_is_put_together(build: Build, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    net.output(build(net, net.op("Tanh", net.input("x", (1, 6, 8)))))
    check(net, ["Tanh", "LpNormalization"], rng, 1e-5)


def test_a_bound_of_the_norm_that_matters_stays(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (1, 6, 8)))
    net.output(net.op("Div", x, net.op("Clip", net.op("ReduceL2", x, [1], keepdims=1), f(0.5))))
    check(net, ["Tanh", "ReduceL2", "Clip", "Div"], rng, 1e-5)


def test_normalization_of_all_space_takes_parameters_of_channels(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (1, 3, 6, 8)))
    centred = net.op("Sub", x, net.op("ReduceMean", x, [2, 3], keepdims=1))
    variance = net.op("ReduceMean", net.op("Mul", centred, centred), [2, 3], keepdims=1)
    y = net.op("Div", centred, net.op("Sqrt", net.op("Add", variance, f(1e-5))))
    net.output(net.op("Add", net.op("Mul", y, net.positive(3, 1, 1)), net.normal(1, 3, 1, 1)))
    check(net, ["Tanh", "InstanceNormalization"], rng, 1e-5)


def test_groups_between_reshapes_are_one_group_normalization(rng: np.random.Generator) -> None:
    """As torch.nn.GroupNorm is exported."""
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (1, 6, 4, 5)))
    groups = net.op("Reshape", x, net.constant(np.array([0, 3, -1]), "groups"))
    normal = net.op("InstanceNormalization", groups, net.positive(3), net.normal(3))
    y = net.op("Reshape", normal, net.constant(np.array([1, 6, 4, 5]), "sizes"))
    net.output(net.op("Add", net.op("Mul", y, net.positive(6, 1, 1)), net.normal(6, 1, 1)))
    graph = check(net, ["Tanh", "GroupNormalization"], rng, 1e-5)
    assert attribute(graph.nodes[1], "num_groups") == 3


def softmax(net: Net, x: str) -> str:
    e = net.op("Exp", x)
    return net.op("Div", e, net.op("ReduceSum", e, [1], keepdims=1))


def softmax_with_maximum(net: Net, x: str) -> str:
    e = net.op("Exp", net.op("Sub", x, net.op("ReduceMax", x, [1], keepdims=1)))
    return net.op("Mul", e, net.op("Reciprocal", net.op("ReduceSum", e, [1], keepdims=1)))


def log_softmax(net: Net, x: str) -> str:
    shifted = net.op("Sub", x, net.op("ReduceMax", x, [1], keepdims=1))
    return net.op("Sub", shifted, net.op("Log", net.op("ReduceSum", net.op("Exp", shifted), [1], keepdims=1)))


def log_of_softmax(net: Net, x: str) -> str:
    return net.op("Log", net.op("Softmax", x, axis=1))


def minus_log_sum_exp(net: Net, x: str) -> str:
    return net.op("Sub", x, net.op("ReduceLogSumExp", x, [1], keepdims=1))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (softmax, "Softmax"),
        (softmax_with_maximum, "Softmax"),
        (log_softmax, "LogSoftmax"),
        (log_of_softmax, "LogSoftmax"),
        (minus_log_sum_exp, "LogSoftmax"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_softmax_is_put_together(build: Build, expected: str, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    net.output(build(net, net.op("Tanh", net.input("x", (1, 5, 4)))))
    graph = check(net, ["Tanh", expected], rng, 1e-5)
    assert attribute(graph.nodes[1], "axis") == 1


@pytest.mark.parametrize("role", ["scale", "bias"])
def test_a_computed_scale_or_bias_takes_in_no_constant(role: str, rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (2, 3, 4)))
    computed = net.op("ReduceMean", x, [0, 1], keepdims=0)
    parameters = [computed] if role == "scale" else [net.positive(4), computed]
    y = net.op("LayerNormalization", x, *parameters, axis=-1)
    net.output(net.op("Mul", y, net.positive(4)) if role == "scale" else net.op("Add", y, net.normal(4)))
    check(net, ["Tanh", "ReduceMean", "LayerNormalization", "Mul" if role == "scale" else "Add"], rng, 1e-5)


def test_a_factor_that_adds_axes_to_a_norm_stays(rng: np.random.Generator) -> None:
    net = Net(opset=18)
    x = net.op("Tanh", net.input("x", (1, 3, 8)))
    total = net.op("ReduceSum", net.op("Mul", x, x), [2], keepdims=0)
    net.output(net.op("Sqrt", net.op("Mul", total, np.full((1, 1, 1, 1), 0.5, f))))
    graph = prepare(load_onnx(net.model()))
    feeds = {"x": rng.normal(size=(1, 3, 8)).astype(f)}
    assert_same(run(graph, feeds), run(net.model(), feeds), 1e-5)
