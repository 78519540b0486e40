"""A network that trains in a second, and data that it can learn."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from intaglio.data import Dataset
from intaglio.evaluation.model_stages import data_for
from intaglio.frontends import prepare
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph

CLASSES = 4


class Net(torch.nn.Module):
    """Two convolutions with batch norm, a residual sum and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8))
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.bn = torch.nn.BatchNorm2d(8)
        self.fc = torch.nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = x + torch.relu(self.bn(self.depthwise(x)))
        return self.fc(x.mean((2, 3)))


def make_net() -> Net:
    """The same untrained network each time."""
    torch.manual_seed(1)
    net = Net()
    for norm in (net.stem[1], net.bn):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.data.uniform_(0.5, 1.5)
    return net.eval()


def raw_graph() -> Graph:
    """The network before any pass."""
    return _exported().copy()


@cache
def _exported() -> Graph:
    return load_torch(make_net(), (torch.zeros(1, 3, 8, 8),))


def arrays(count: int = 256, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Classes that the channel means tell apart; the last has none that stands out."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, count)
    x = rng.normal(size=(count, 3, 8, 8)).astype(np.float32)
    for channel in range(3):
        x[y == channel, channel] += 1.0
    return x, y


def dataset_for(graph: Graph, count: int = 256, seed: int = 4) -> Dataset:
    """The arrays as a network's data."""
    return data_for(graph, arrays(count, seed), labels=True)


def dataset(count: int = 256, seed: int = 4) -> Dataset:
    """The arrays as this network's data."""
    return dataset_for(_prepared(), count, seed)


@cache
def _prepared() -> Graph:
    return prepare(raw_graph())
