"""Constant channels lose their weights, and the network stays what it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph.access import constant
from intaglio.graph.edit import set_constant
from intaglio.recover import free_constant_channels
from intaglio.simulate import Simulator


def network(activation: type[nn.Module] = nn.ReLU) -> ig.Graph:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), activation(), nn.Conv2d(8, 8, 3, groups=8), activation(), nn.Conv2d(8, 4, 1)
    )
    return ig.load(net.eval(), (torch.zeros(1, 3, 9, 9),))


def change(graph: ig.Graph, name: str, channel: int, factor: float, add: float = 0.0) -> None:
    value = graph.value(name)
    array = constant(value).copy()
    array[channel] = array[channel] * factor + add
    set_constant(value, array)


def weight(graph: ig.Graph, name: str) -> np.ndarray:
    return constant(graph.value(name))


def names(graph: ig.Graph, layer: int) -> tuple[str, str]:
    node = [n for n in graph.nodes if n.op_type == "Conv"][layer]
    return str(node.inputs[1].name), str(node.inputs[2].name)


@pytest.fixture
def x(rng):
    return np.abs(rng.normal(0.3, 1.0, size=(64, 3, 9, 9))).astype(np.float32)


def same(a: ig.Graph, b: ig.Graph, x: np.ndarray) -> None:
    want, got = (Simulator(g).run(x)[0] for g in (a, b))
    np.testing.assert_allclose(got, want, atol=2e-6 * np.abs(want).max())


def test_a_channel_that_is_always_zero_on_the_data_loses_huge_weights(x):
    graph = network()
    w, b = names(graph, 0)
    change(graph, w, 3, 0.0, -200.0)  # inputs are positive: never above zero behind the ReLU
    made = free_constant_channels(graph, ArraySamples([x]))
    assert made.channels == 1
    assert not weight(made.graph, w)[3].any()
    assert constant(made.graph.value(b))[3] == 0
    assert weight(graph, w)[3].any()
    same(graph, made.graph, x)
    assert "never varied" in str(made.steps[0])


def test_an_ordinary_channel_that_happens_to_be_constant_is_kept(x):
    graph = network()
    change(graph, names(graph, 0)[0], 3, 0.0, -0.05)
    change(graph, names(graph, 0)[1], 3, 0.0)
    made = free_constant_channels(graph, ArraySamples([x]))
    assert weight(made.graph, names(graph, 0)[0])[3].any()


def test_few_samples_are_no_evidence(x):
    graph = network()
    change(graph, names(graph, 0)[0], 3, 0.0, -200.0)
    assert free_constant_channels(graph, ArraySamples([x[:8]])).graph is graph


def test_reverted_if_held_back_samples_contradict(x):
    graph = network()
    change(graph, names(graph, 0)[0], 3, 0.0, -200.0)
    change(graph, names(graph, 1)[0], 3, 0.0, 0.1)  # so that it reaches the output
    made = free_constant_channels(graph, ArraySamples([x]), ArraySamples([-x]))
    assert made.graph is graph
    assert "reverted" in str(made.steps[0])


def test_zero_weights_are_proof_without_data(x):
    """As batch norm with gamma 0 leaves them: the value is the bias, and behind a ReLU a negative one is 0."""
    graph = network()
    w, b = names(graph, 0)
    change(graph, w, 2, 0.0)
    change(graph, b, 2, 0.0, -1.5)
    second = names(graph, 1)[0]
    change(graph, second, 2, 0.0, 900.0)
    made = free_constant_channels(graph)
    assert not weight(made.graph, second)[2].any()
    same(graph, made.graph, x)


def test_a_capped_input_proves_that_a_channel_is_never_positive(x):
    graph = network(nn.ReLU6)
    w, b = names(graph, 1)
    change(graph, b, 5, 0.0, -1000.0)
    made = free_constant_channels(graph)
    assert made.channels == 1
    assert not weight(made.graph, w)[5].any()
    assert not weight(made.graph, names(graph, 2)[0])[:, 5].any()
    same(graph, made.graph, 100 * x)


def test_a_network_without_constant_channels_is_returned(x):
    graph = network()
    made = free_constant_channels(graph, ArraySamples([x]), ArraySamples([x]))
    assert made.graph is graph
    assert made.steps == []
