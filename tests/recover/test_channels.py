"""Which channels may be scaled together."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import intaglio as ig
from intaglio.graph.weights import product
from intaglio.recover.channels import channel_groups, magnitudes


def load(net: nn.Module, *size: int) -> ig.Graph:
    torch.manual_seed(0)
    return ig.load(net.eval(), (torch.zeros(1, *size),))


class Residual(nn.Module):
    def __init__(self, rectify: bool = False, sigmoid: bool = False) -> None:
        super().__init__()
        self.stem, self.inner, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 5, 1)
        self.rectify, self.sigmoid = rectify, sigmoid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(x) if self.rectify else x
        y = self.inner(x)
        return self.last(x + (torch.sigmoid(y) if self.sigmoid else y))


def names(graph: ig.Graph) -> list[tuple[list[str], list[str]]]:
    def layer(node: object) -> str:
        return str(node.inputs[1].name).removesuffix(".weight")  # type: ignore[attr-defined]

    return [
        (sorted(layer(p.node) for p in g.producers), sorted(layer(p.node) for p, _ in g.readers))
        for g in channel_groups(graph)
    ]


def test_a_chain_through_a_depthwise_pair_has_two_groups():
    layers = [nn.Conv2d(3, 6, 1), nn.ReLU6(), nn.Conv2d(6, 6, 3, groups=6), nn.LeakyReLU(), nn.Conv2d(6, 4, 1)]
    graph = load(nn.Sequential(*layers), 3, 8, 8)
    assert names(graph) == [(["0"], ["2"]), (["2"], ["4"])]
    assert [len(g.caps) for g in channel_groups(graph)] == [1, 0]


def test_a_residual_connection_makes_one_group_of_its_branches():
    assert names(load(Residual(), 3, 8, 8)) == [(["inner", "stem"], ["inner", "last"])]
    assert names(load(Residual(rectify=True), 3, 8, 8)) == [(["inner", "stem"], ["inner", "last"])]


def test_a_function_that_is_not_homogeneous_ends_the_group():
    assert names(load(Residual(sigmoid=True), 3, 8, 8)) == []
    assert names(load(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardswish(), nn.Conv2d(4, 2, 1)), 3, 4, 4)) == []
    assert names(load(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardtanh(-1, 1), nn.Conv2d(4, 2, 1)), 3, 4, 4)) == []


def test_an_output_of_the_network_is_never_scaled():
    class TwoOutputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = torch.relu(self.a(x))
            return self.b(y), y

    assert names(load(TwoOutputs(), 3, 4, 4)) == []


def test_pools_and_flattening_keep_channels_together():
    layers = [
        nn.Conv2d(3, 4, 1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.ReLU(),
        nn.Linear(5, 2),
    ]
    graph = load(nn.Sequential(*layers), 3, 4, 4)
    assert names(graph) == [(["0"], ["4"]), (["4"], ["6"])]
    assert channel_groups(graph)[0].readers[0][1] == 4


def test_concatenated_channels_are_left_alone():
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.c(torch.cat([self.a(x), self.b(x)], 1))

    assert names(load(Joined(), 3, 4, 4)) == []


def test_magnitudes_are_those_of_the_weight():
    graph = load(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 2, groups=2)), 4, 8, 8)
    first, second = (product(n) for n in graph.nodes)
    w = np.abs(first.weight)
    np.testing.assert_allclose(magnitudes(first).max(2).reshape(-1), w.max((1, 2, 3)), rtol=1e-6)
    inputs = np.concatenate([w[:3].max((0, 2, 3)), w[3:].max((0, 2, 3))])
    np.testing.assert_allclose(magnitudes(first).max(1).reshape(-1), inputs, rtol=1e-6)
    w = np.abs(second.weight)
    np.testing.assert_allclose(magnitudes(second).max(1).reshape(-1), w.max((1, 2, 3)), rtol=1e-6)
    outputs = np.concatenate([w[:3].max((0, 2, 3)), w[3:].max((0, 2, 3))])
    np.testing.assert_allclose(magnitudes(second).max(2).reshape(-1), outputs, rtol=1e-6)
