"""Small graphs and data for the tests of calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net

from intaglio.frontends import load
from intaglio.graph import Graph
from intaglio.plan import Plan, place
from intaglio.targets import load_target


class Rows:
    """A data set: rows of arrays, in batches."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.arrays = arrays

    def batches(self, n: int) -> Iterator[tuple[Any, None]]:
        for start in range(0, len(self.arrays[0]), n):
            parts = tuple(a[start : start + n] for a in self.arrays)
            yield (parts[0] if len(parts) == 1 else parts), None


@pytest.fixture
def rows() -> type[Rows]:
    return Rows


@pytest.fixture
def new_net() -> Callable[[], Any]:
    return Net


@pytest.fixture
def conv_net() -> Callable[..., tuple[Graph, str, str, str]]:
    """x (1, C, S, S) -> Conv -> y with given weight and bias; returns graph and the names of x, weight and bias."""

    def build(weight: np.ndarray, bias: np.ndarray | None = None, size: int = 6, **attributes: Any) -> Any:
        net = Net()
        channels = weight.shape[1] * attributes.get("group", 1)
        x = net.input("x", ("n", channels, size, size))
        extra = [] if bias is None else [bias.astype(np.float32)]
        net.output(net.op("Conv", x, weight.astype(np.float32), *extra, name="conv", **attributes))
        graph = load(net.model())
        (node,) = graph.nodes
        return graph, *(str(v.name) for v in node.inputs)

    return build


@pytest.fixture
def small_net(rng: np.random.Generator) -> Graph:
    """Two convolutions, a residual add, pooling and a classifier."""
    net = Net(seed=int(rng.integers(1 << 30)))
    x = net.input("x", ("n", 3, 8, 8))
    a = net.op("Relu", net.conv(x, 3, 8, pads=[1] * 4))
    b = net.op("Add", a, net.conv(a, 8, 8, pads=[1] * 4))
    c = net.op("Flatten", net.op("GlobalAveragePool", net.op("Relu", b)))
    net.output(net.op("Gemm", c, net.normal(8, 5), net.normal(5)))
    return load(net.model())


@pytest.fixture
def placed() -> Callable[..., Plan]:
    def make(graph: Graph, target: str = "cpu-int8", **options: Any) -> Plan:
        return place(graph, load_target(target), **options)

    return make
