"""High-bias absorption: the same function, only where no padding is, reverted where it harms."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate.data_free.prediction import predict
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph.access import constant
from intaglio.graph.weights import product
from intaglio.recover.absorption import absorb_high_biases
from intaglio.simulate import Simulator


@functools.cache
def network(cap: float | None = None, *, padding: int = 0, bias: bool = True, high: float = 8.0) -> ig.Graph:
    """Half of the hidden channels have a bias far above what varies."""
    act = nn.ReLU() if cap is None else nn.Hardtanh(0, cap)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), act, nn.Conv2d(8, 5, 3 if padding else 1, padding=padding, bias=bias)
    ).eval()
    net[0].weight.data *= 0.5
    net[0].bias.data[::2] = high
    return ig.load(net, torch.zeros(1, 3, 7, 7))


@pytest.fixture
def x(rng):
    return rng.normal(size=(48, 3, 7, 7)).astype(np.float32)


@pytest.mark.parametrize("cap", [None, 9.0])
@pytest.mark.parametrize("bias", [True, False])
def test_the_function_stays_and_the_biases_fall(cap, bias, x):
    graph = network(cap, bias=bias)
    before = [constant(v).copy() for v in graph.initializers]
    made = absorb_high_biases(graph, ArraySamples([x[32:]]), samples=ArraySamples([x[:32]]))
    assert made.changed, str(made.steps[0])
    assert "4 channels" in str(made.steps[0])
    assert made.caps == (cap is not None)
    for value, array in zip(graph.initializers, before, strict=True):
        np.testing.assert_array_equal(constant(value), array)
    want, got = (Simulator(g).run(x)[0] for g in (graph, made.graph))
    error = np.abs(got - want) / np.abs(want).max()
    assert np.quantile(error, 0.9) < 1e-5  # exact but for the 0.13 % of numbers below mean - 3 std
    first = next(product(n) for n in made.graph.nodes if product(n) is not None)
    assert (first.bias[::2] < 4.0).all()
    np.testing.assert_array_equal(first.bias[1::2], product(graph.nodes[0]).bias[1::2])
    assert made.steps[0].kept
    q = ig.quantize(made.graph, x, "int8-per-tensor", calibrator="max", equalize=False)
    assert np.isfinite(q.lower().run(x)).all()


def test_values_that_are_shifted_have_other_names(x):
    graph = network()
    made = absorb_high_biases(graph, ArraySamples([x]), samples=ArraySamples([x])).graph
    a, b = {}, {}
    Simulator(graph).run(x, observe=lambda n, v: a.update({n: v.clone()}))
    Simulator(made).run(x, observe=lambda n, v: b.update({n: v.clone()}))
    assert len(a.keys() & b.keys()) == 2
    for name in a.keys() & b.keys():
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0.2)  # what lay below mean - 3 std


def test_a_padded_layer_is_given_no_bias(x):
    graph = network(padding=1)
    made = absorb_high_biases(graph, ArraySamples([x]), samples=ArraySamples([x]))
    assert not made.changed
    assert made.graph is graph
    assert "no channel" in str(made.steps[0])


def test_caps_can_be_left_alone(x):
    graph = network(9.0)
    assert not absorb_high_biases(graph, ArraySamples([x]), samples=ArraySamples([x]), carry_caps=False).changed


def test_a_channel_above_its_cap_is_left_alone(x):
    graph = network(2.0)
    assert not absorb_high_biases(graph, ArraySamples([x]), samples=ArraySamples([x])).changed


def test_reverted_if_the_function_changes(x):
    graph = network()
    made = absorb_high_biases(graph, ArraySamples([40 * x]), samples=ArraySamples([x]))
    assert not made.changed
    assert made.graph is graph
    assert "reverted" in str(made.steps[0])


def test_without_samples_the_expected_moments_decide(x):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 1)).eval()
    net[1].running_mean.copy_(torch.full((8,), 0.1))
    net[1].bias.data.copy_(torch.tensor([8.0, 0, 8, 0, 8, 0, 8, 0]))
    graph = ig.load(net, torch.zeros(1, 3, 7, 7))
    made = absorb_high_biases(graph, ArraySamples([0.3 * x]), predicted=predict(graph, (-1.0, 1.0)).values)
    assert made.changed, str(made.steps[0])
    ((name, moments),) = made.graph.moments.items()
    assert name.endswith(".absorbed")
    np.testing.assert_allclose(moments.mean[::2], 3 * moments.std[::2], rtol=1e-6)
    assert made.graph.value(name)
