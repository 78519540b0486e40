"""What batch norm recorded stays with the values through every pass."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import intaglio as ig
from intaglio.recover import equalize
from intaglio.simulate import Simulator


def trained(*layers: nn.Module, rng: np.random.Generator) -> nn.Sequential:
    """Batch norms that look as if they had been trained."""
    net = nn.Sequential(*layers).eval()
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.weight.data, 0.3, 2.0),
                (layer.bias.data, -1.0, 1.0),
                (layer.running_mean, -1.0, 1.0),
                (layer.running_var, 0.1, 3.0),
            ):
                tensor.copy_(torch.as_tensor(rng.uniform(low, high, tensor.shape)))
    return net


def block(rng: np.random.Generator) -> nn.Sequential:
    layers = [nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU6()]
    layers += [nn.Conv2d(6, 6, 3, groups=6, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1)]
    return trained(*layers, nn.BatchNorm2d(4), rng=rng)


def told(layer: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    variance = layer.running_var.double()
    std = layer.weight.data.double().abs() * (variance / (variance + layer.eps)).sqrt()
    return layer.bias.data.double().numpy(), std.numpy()


def test_a_torch_module_keeps_what_its_batch_norms_recorded(rng):
    net = block(rng)
    graph = ig.load(net, torch.zeros(1, 3, 8, 8))
    assert "BatchNormalization" not in [n.op_type for n in graph.nodes]
    layers = [layer for layer in net if isinstance(layer, nn.BatchNorm2d)]
    convolutions = [n.outputs[0].name for n in graph.nodes if n.op_type == "Conv"]
    assert list(graph.moments) == convolutions
    for name, layer in zip(convolutions, layers, strict=True):
        mean, std = told(layer)
        np.testing.assert_allclose(graph.moments[name].mean, mean, rtol=1e-6)
        np.testing.assert_allclose(graph.moments[name].std, std, rtol=1e-6)
    assert graph.copy().moments == graph.moments
    assert ig.load(graph).moments.keys() == graph.moments.keys()


def test_the_moments_are_those_of_the_value_that_bears_the_name(rng):
    """With inputs that have the running statistics, the prepared graph shows the recorded moments."""
    net = trained(nn.Conv2d(3, 5, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1), rng=rng)
    x = torch.as_tensor(rng.normal(size=(64, 3, 16, 16)), dtype=torch.float32)
    with torch.no_grad():
        seen = net[0](x).transpose(0, 1).flatten(1)
        net[1].running_mean.copy_(seen.mean(1))
        net[1].running_var.copy_(seen.var(1, unbiased=False))
    graph = ig.load(net, torch.zeros(1, 3, 16, 16))
    ((name, moments),) = graph.moments.items()
    found = {}
    Simulator(graph).run(x.numpy(), observe=lambda n, y: found.setdefault(n, []).append(y.clone()))
    y = torch.cat(found[name]).transpose(0, 1).flatten(1).double().numpy()
    np.testing.assert_allclose(y.mean(1), moments.mean, atol=1e-3)
    np.testing.assert_allclose(y.std(1), moments.std, rtol=1e-3)


def keras_like(rng: np.random.Generator, *, beta: float = 1.0) -> onnx.ModelProto:
    """A channels-last convolution with its batch norm as Sub, Mul, Add, as exports of Keras files have it."""
    arrays = {
        "w": rng.normal(size=(4, 3, 3, 3)),
        "mean": rng.normal(size=(1, 1, 1, 4)),
        "factor": rng.uniform(0.5, 2, size=(1, 1, 1, 4)),
        "beta": beta * rng.normal(size=(1, 1, 1, 4)),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "w"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["conv"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Sub", ["last", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "beta"], ["shifted"]),
        helper.make_node("Relu", ["shifted"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "keras",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8, 4])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_an_export_as_sub_mul_add_keeps_the_means(rng):
    model = keras_like(rng)
    graph = ig.load(model)
    assert not {"Sub", "Mul", "Add"} & {n.op_type for n in graph.nodes}
    ((name, moments),) = graph.moments.items()
    assert name == "shifted"
    beta = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "beta")
    np.testing.assert_allclose(moments.mean, beta.ravel())
    assert np.isnan(moments.std).all()


def test_a_scale_and_shift_written_as_batch_norm_tells_nothing(rng):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()  # never trained: mean 0, variance 1
    assert ig.load(net, torch.zeros(1, 3, 4, 4)).moments == {}


def test_equalization_scales_the_moments_with_the_values(rng):
    graph = ig.load(block(rng), torch.zeros(1, 3, 8, 8))
    made = equalize(graph).graph
    assert made is not graph
    assert len(made.moments) == len(graph.moments)
    assert set(made.moments) <= set(made.values())
    before, after = {}, {}
    x = rng.normal(size=(4, 3, 8, 8)).astype(np.float32)
    Simulator(graph).run(x, observe=lambda n, y: before.update({n: y.clone()}))
    Simulator(made).run(x, observe=lambda n, y: after.update({n: y.clone()}))
    for name, moments in made.moments.items():
        old = name.removesuffix(".equalized")
        factor = before[old].double().abs().sum((0, 2, 3)) / after[name].double().abs().sum((0, 2, 3))
        np.testing.assert_allclose(graph.moments[old].mean, moments.mean * factor.numpy(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(graph.moments[old].std, moments.std * factor.numpy(), rtol=1e-4)
