"""Equalization: the same function, ranges that are alike, caps carried into the integer program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph.edit import set_constant
from intaglio.graph.weights import product
from intaglio.recover import equalization, equalize
from intaglio.recover.channels import magnitudes
from intaglio.simulate import Simulator

ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky": lambda: nn.LeakyReLU(0.1),
    "prelu": lambda: nn.PReLU(8),
    "none": nn.Identity,
}


def spread(net: nn.Sequential, rng: np.random.Generator, decades: float = 3.0) -> None:
    """Scale the hidden channels of every layer but the last over some decades."""
    for layer in list(net)[:-1]:
        if isinstance(layer, nn.Conv2d):
            factor = torch.as_tensor(10.0 ** rng.uniform(-decades / 2, decades / 2, layer.out_channels)).float()
            layer.weight.data *= factor.reshape(-1, 1, 1, 1)
            layer.bias.data *= factor


def network(kind: str, rng: np.random.Generator) -> ig.Graph:
    torch.manual_seed(1)
    act = ACTIVATIONS[kind]
    layers = [nn.Conv2d(3, 8, 3, padding=1), act(), nn.Conv2d(8, 8, 3, groups=8, padding=1), act(), nn.Conv2d(8, 4, 1)]
    net = nn.Sequential(*layers).eval()
    spread(net, rng)
    return ig.load(net, (torch.zeros(1, 3, 9, 9),))


@pytest.fixture
def x(rng):
    return rng.normal(0.3, 1.0, size=(40, 3, 9, 9)).astype(np.float32)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("with_data", [False, True])
def test_the_function_stays(kind, with_data, rng, x):
    graph = network(kind, rng)
    before = [np.array(v.const_value.numpy()) for v in graph.initializers]
    made = equalize(graph, ArraySamples([x]) if with_data else None)
    assert made.changed
    want, got = (Simulator(g).run(x)[0] for g in (graph, made.graph))
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
    for value, array in zip(graph.initializers, before, strict=True):
        np.testing.assert_array_equal(value.const_value.numpy(), array)


def test_without_data_the_ranges_of_weights_become_equal(rng):
    graph = network("relu", rng)
    made = equalize(graph)

    def unevenness(network: ig.Graph) -> list[float]:
        layers = [found for node in network.nodes if (found := product(node)) is not None]
        ranges = [magnitudes(found).max(2).reshape(-1) for found in layers]
        ranges += [magnitudes(found).max(1).reshape(-1) for found in layers[1:]]
        return [float(np.log(r).std()) for r in ranges]

    before, after = unevenness(graph), unevenness(made.graph)
    assert np.mean(after) < np.mean(before)
    # what one product writes and the next reads is alike: neither side can be evened out further
    first, second = [found for node in made.graph.nodes if (found := product(node)) is not None][:2]
    rows, columns = magnitudes(first).max(2).reshape(-1), magnitudes(second).max(1).reshape(-1)
    np.testing.assert_allclose(rows / rows.max(), columns / columns.max(), rtol=0.1)
    assert "largest channel range over median" in str(made.steps[0])


def test_scaled_values_have_other_names_and_the_rest_keeps_its_own(rng):
    graph = network("relu6", rng)
    made = equalize(graph).graph
    assert {n for n in made.values() if n in graph.values()} >= {str(v.name) for v in (*graph.inputs, *graph.outputs)}
    a, b = {}, {}
    x = rng.normal(size=(2, 3, 9, 9)).astype(np.float32)
    Simulator(graph).run(x, observe=lambda n, v: a.update({n: v.clone()}))
    Simulator(made).run(x, observe=lambda n, v: b.update({n: v.clone()}))
    for name in a.keys() & b.keys():
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-4)


def test_caps_become_one_per_channel_and_reach_the_integers(rng, x):
    graph = network("relu6", rng)
    made = equalize(graph, ArraySamples([x]))
    assert made.caps == 2
    assert [n.op_type for n in made.graph.nodes].count("Min") == 2
    q = ig.quantize(made.graph, x, "cpu-int8", calibrator="max", equalize=False)
    program = q.lower()
    assert [n.operator.kind for n in program.nodes].count("clamp_channels") == 2
    assert "requantize" not in [n.operator.kind for n in program.nodes]  # the convolution writes on the caps' grid
    step = float(q.plan.params(str(made.graph.outputs[0].name)).scale)
    assert np.abs(program.run(x) - q.simulate(x)).max() <= 4 * step
    caps = {n.name: n.operator.upper for n in program.nodes if n.operator.kind == "clamp_channels"}
    assert all(len(np.unique(c)) > 1 for c in caps.values())


def test_caps_can_be_left_alone(rng):
    graph = network("relu6", rng)
    made = equalize(graph, carry_caps=False)
    assert not made.changed
    assert made.graph is graph
    assert "no chain" in str(made.steps[0])


def test_a_residual_network_stays_the_same_function(rng):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.relu(self.a(x))
            return self.c((y + self.b(y)).mean((2, 3)))

    torch.manual_seed(2)
    graph = ig.load(Net().eval(), (torch.zeros(1, 3, 8, 8),))
    found = product(graph.nodes[0])
    found.scale_outputs(10.0 ** rng.uniform(-2, 2, 6))
    x = rng.normal(size=(5, 3, 8, 8)).astype(np.float32)
    made = equalize(graph)
    assert made.changed
    want, got = (Simulator(g).run(x)[0] for g in (graph, made.graph))
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_dead_channels_are_no_obstacle(rng, x):
    graph = network("relu", rng)
    nodes = [n for n in graph.nodes if product(n) is not None]
    first, second = (product(n) for n in nodes[:2])
    first.scale_outputs(np.array([0.0, 1, 1, 1, 1, 1, 1, 1]))
    second.scale_inputs(np.array([1.0, 0, 1, 1, 1, 1, 1, 1]))
    first.scale_outputs(np.array([1.0, 1, 1e-20, 1, 1, 1, 1, 1]))
    made = equalize(graph, ArraySamples([x]))
    want, got = (Simulator(g).run(x)[0] for g in (graph, made.graph))
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
    for value in made.graph.initializers:
        assert np.isfinite(value.const_value.numpy()).all()


def test_a_function_that_changed_is_reverted(monkeypatch, rng):
    graph = network("relu", rng)
    monkeypatch.setattr(equalization, "_scale_bias", lambda found, factors: None)
    made = equalize(graph)
    assert not made.changed
    assert made.graph is graph
    assert "reverted" in str(made.steps[0])


def test_weights_of_nan_are_left_as_they_are(rng):
    graph = network("relu", rng)
    value = graph.nodes[0].inputs[1]
    set_constant(value, np.full_like(value.const_value.numpy(), np.nan))
    assert not equalize(graph).changed


def test_quantize_wins_back_one_scale_per_tensor(rng, x):
    graph = network("relu", rng)
    error = {}
    want = Simulator(graph).run(x)[0]
    for on in (True, False):
        q = ig.quantize(graph, x, "int8-per-tensor", calibrator="max", equalize=on)
        error[on] = np.square(q.lower().run(x) - want).sum()
        told = [h for h in q.history if "equalization" in h]
        assert len(told) == on
        assert not on or "kept" in told[0]
    assert error[True] < error[False] / 2


def test_quantize_takes_nothing_that_does_not_gain(rng, x):
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    q = ig.quantize(ig.load(net, (torch.zeros(1, 3, 9, 9),)), x, "int16x8", calibrator="max")
    told = [h for h in q.history if "equalization" in h]
    assert all("reverted" in h or "already equal" in h for h in told)
