"""Activation equalization: the function stays, outlying channels shrink, and it is kept only where the outputs gain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.data import open_data
from intaglio.evaluation.held_back import ArraySamples
from intaglio.plan import place
from intaglio.ptq import smooth_activations
from intaglio.recover.smooth import smoothed
from intaglio.simulate import Simulator
from intaglio.targets import load_target

torch.set_num_threads(1)
OUTLIER = 60.0


class Transformer(nn.Module):
    """A layer normalization with outlying channels, read by three products; then a chain of two products."""

    def __init__(self, outlier: float):
        super().__init__()
        self.norm = nn.LayerNorm(12)
        self.a, self.b, self.c = (nn.Linear(12, 6, bias=i != 1) for i in range(3))
        self.up, self.down = nn.Linear(6, 10), nn.Linear(10, 4)
        with torch.no_grad():
            self.norm.weight[2] = outlier
            self.norm.bias[5] = -outlier
            for layer in (self.a, self.b, self.c):
                layer.weight[:, [2, 5]] /= outlier

    def forward(self, x):
        x = self.norm(x)
        x = self.a(x) * self.b(x) + self.c(x)
        return self.down(torch.relu(self.up(x)))


def transformer(outlier: float = OUTLIER) -> ig.Graph:
    torch.manual_seed(0)
    return ig.load(Transformer(outlier).eval(), (torch.zeros(1, 5, 12),))


def convolutions(outlier: float = OUTLIER) -> ig.Graph:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6(), nn.Conv2d(8, 4, 1)]
    with torch.no_grad():
        layers[0].weight[1] *= outlier
        layers[2].weight[1] /= outlier
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    return ig.load(nn.Sequential(*layers).eval(), (torch.zeros(1, 3, 8, 8),))


NETWORKS = {"transformer": (transformer, (5, 12)), "convolutions": (convolutions, (3, 8, 8))}
every = pytest.mark.parametrize("name", NETWORKS)


def data(name, rng):
    return rng.normal(size=(64, *NETWORKS[name][1])).astype(np.float32)


def run(graph, x, target="cpu-int8", **kwargs):
    described = load_target(target)
    samples, held = ArraySamples([x[:48]]), ArraySamples([x[48:]])
    return smooth_activations(graph, lambda g: place(g, described), open_data(x), samples, held, **kwargs)


@every
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_function_stays(name, alpha, rng):
    graph, x = NETWORKS[name][0](), data(name, rng)
    made, groups, caps = smoothed(graph, ArraySamples([x]), alpha)
    assert groups >= 2
    want, got = Simulator(graph).run(x)[0], Simulator(made).run(x)[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
    assert caps == (name == "convolutions")
    names = {v.name for v in graph.values().values()}
    assert {v.name for v in made.values().values()} - names  # another real tensor has another name


@every
def test_with_alpha_1_every_channel_reaches_as_far(name, rng):
    graph, x = NETWORKS[name][0](), data(name, rng)
    made, _, _ = smoothed(graph, ArraySamples([x]), 1.0)
    kind = "LayerNormalization" if name == "transformer" else "Relu"
    value = next(node for node in made.nodes if node.op_type == kind).outputs[0].name
    found = {}
    Simulator(made).run(x, observe=lambda n, v: found.update({n: v.clone()}), chunk=64)
    axis = -1 if name == "transformer" else 1
    reach = found[value].abs().amax([k for k in range(found[value].ndim) if k != axis % found[value].ndim])
    assert float(reach.max() / reach[reach > 0].min()) < 1.01


@every
def test_outlying_channels_are_kept_out_of_the_grid(name, rng):
    graph, x = NETWORKS[name][0](), data(name, rng)
    result = run(graph, x)
    assert result.changed
    assert [step.kept for step in result.steps].count(True) == 1
    kept = next(step for step in result.steps if step.kept)
    assert kept.after > kept.before + 3
    assert kept.after == max(step.after for step in result.steps)


def test_reverted_if_held_back_samples_disagree(rng):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    with torch.no_grad():
        net[0].weight[:, 0] = torch.eye(8)[0]  # one channel alone reads the first input
    graph = ig.load(net, (torch.zeros(1, 4),))
    x = rng.normal(size=(64, 4)).astype(np.float32)
    misleading = x * np.array([1000, 1, 1, 1], np.float32)
    described = load_target("int8-per-tensor")
    result = smooth_activations(
        graph, lambda g: place(g, described), open_data(x), ArraySamples([misleading]), ArraySamples([x]), alphas=(1.0,)
    )
    assert result.graph is graph
    assert not result.changed
    (step,) = result.steps
    assert step.kept is False
    assert step.after < step.before
    assert "reverted" in str(step)


def test_bounds_per_channel_only_if_allowed(rng):
    graph, x = convolutions(), data("convolutions", rng)
    made, _, caps = smoothed(graph, ArraySamples([x]), 0.5, carry_caps=False)
    assert caps == 0
    assert sum(node.op_type == "Clip" for node in made.nodes) == 1


def test_without_a_place_for_the_division_nothing_is_done(rng):
    net = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2)).eval()
    graph = ig.load(net, (torch.zeros(1, 4),))
    result = run(graph, rng.normal(size=(32, 4)).astype(np.float32))
    assert result.graph is graph
    assert "no activation whose channels can be scaled" in str(result.steps[0])


def test_a_norm_that_something_else_reads_is_left(rng):
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.layer = nn.LayerNorm(6), nn.Linear(6, 6)

        def forward(self, x):
            x = self.norm(x)
            return x + self.layer(x)

    graph = ig.load(Read().eval(), (torch.zeros(1, 3, 6),))
    assert smoothed(graph, ArraySamples([rng.normal(size=(8, 3, 6)).astype(np.float32)]), 0.5) is None


def test_a_dead_channel_is_left_alone(rng):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    with torch.no_grad():
        net[0].weight[2] = 0
        net[0].bias[2] = -1
        net[2].weight[:, 4] = 0
    graph = ig.load(net, (torch.zeros(1, 4),))
    x = rng.normal(size=(32, 4)).astype(np.float32)
    made, _, _ = smoothed(graph, ArraySamples([x]), 0.5)
    np.testing.assert_allclose(Simulator(made).run(x)[0], Simulator(graph).run(x)[0], rtol=1e-4, atol=1e-5)
