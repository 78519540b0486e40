"""Blocks cover a network, end where one value carries everything, and never part an activation from its layer."""

from __future__ import annotations

import torch
from torch import nn

import intaglio as ig
from intaglio.recover.blocks import blocks, caps_behind
from intaglio.recover.im2col import LAYERS


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Inverted(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, 3 * inner, 1),
            nn.ReLU6(),
            nn.Conv2d(3 * inner, 3 * inner, 3, padding=1, groups=3 * inner),
            nn.ReLU6(),
            nn.Conv2d(3 * inner, outer, 1),
        )

    def forward(self, x):
        return self.body(x)


class Dense(nn.Module):
    """Every layer reads all before it: nowhere does one value carry everything."""

    def __init__(self, count):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(2 + 2 * i, 2, 1) for i in range(count))

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, torch.relu(layer(x))], dim=1)
        return x


def found(net, size):
    graph = ig.load(net.eval(), (torch.zeros(1, *size),))
    layers = [str(n.name) for n in graph.nodes if n.op_type in LAYERS]
    parts = blocks(graph, layers)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == len(graph.nodes)
    assert parts[-1].live_after == ()
    counts = [sum(str(n.name) in layers for n in graph.nodes[part.start : part.stop]) for part in parts]
    for part in parts[1:]:
        assert graph.nodes[part.start].op_type in LAYERS
    return graph, parts, counts


def test_residual_blocks_and_inverted_residuals_are_blocks():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Residual(4), Residual(4), Inverted(4, 6), Inverted(6, 4))
    _, parts, counts = found(net, (3, 9, 9))
    assert counts == [3, 2, 3, 3]  # the first layer goes with the first residual block
    assert [len(part.live_after) for part in parts] == [1, 1, 1, 0]
    assert all(len(part.outputs) == 1 for part in parts)


def test_a_chain_is_cut_after_some_layers():
    layers = [m for _ in range(9) for m in (nn.Conv2d(3, 3, 1), nn.ReLU())]
    _, parts, counts = found(nn.Sequential(*layers), (3, 5, 5))
    assert counts == [4, 4, 1]
    assert all(len(part.live_after) == 1 for part in parts[:-1])


def test_a_network_without_narrow_places_is_cut_all_the_same():
    graph, parts, counts = found(Dense(20), (2, 3, 3))
    assert max(counts) <= 8
    for part in parts[:-1]:  # what lives there is all that is read later
        later = {v.name for node in graph.nodes[part.stop :] for v in node.inputs if not v.is_initializer()}
        made = {v.name for node in graph.nodes[part.stop :] for v in node.outputs}
        assert set(part.live_after) == later - made


def test_caps_behind_a_layer_are_followed():
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU6(), nn.Conv2d(3, 2, 1)).eval()
    graph = ig.load(net, (torch.zeros(1, 2, 3, 3),))
    first, clip = graph.nodes[0], graph.nodes[1]
    assert caps_behind(first, {str(clip.name)}) == [clip]
    assert caps_behind(first, set()) == []
    assert caps_behind(graph.nodes[2], set()) == []
