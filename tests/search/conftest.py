"""A network with what makes layers differ: a residual, ReLU6 with caps per channel, a Concat, a softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.quantized import Quantized

torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point = nn.Conv2d(8, 8, 1)
        self.other = nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(12, 4)
        with torch.no_grad():  # channels far apart, so that equalization carries caps per channel
            self.first.weight *= torch.logspace(-2, 1, 8).reshape(-1, 1, 1, 1)
            self.depth.weight *= 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = nn.functional.relu6(self.first(x))
        b = self.point(nn.functional.relu6(self.depth(a)))
        c = torch.relu(a + b)
        d = torch.cat([c, torch.relu(self.other(c))], 1)
        return torch.softmax(self.head(d.mean((2, 3))), 1)


@pytest.fixture(scope="session")
def graph() -> ig.Graph:
    torch.manual_seed(1)
    net = Net().eval()
    with torch.no_grad():  # every class wins on some inputs, although the softmax would hide small differences
        net.head.weight *= 40
        net.head.bias -= torch.log(net(torch.from_numpy(images())).clamp_min(1e-30)).mean(0)
    return ig.load(net, (torch.zeros(1, 3, 8, 8),))


def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(48, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def x() -> np.ndarray:
    return images()


@pytest.fixture(scope="session")
def labels(graph: ig.Graph, x: np.ndarray) -> np.ndarray:
    from intaglio.simulate import Simulator

    return Simulator(graph).run(x)[0].argmax(1)


@pytest.fixture(scope="session")
def quantized(graph: ig.Graph, x: np.ndarray) -> Quantized:
    return ig.quantize(graph, x, calibrator="max", equalize=False, bias_correction=False)
