"""Random networks of the operators that the passes rearrange compute the same before and after."""

from __future__ import annotations

import numpy as np
import pytest
from intaglio_tests.onnx_net import assert_same, feeds_for, run
from intaglio_tests.random_images import RandomImages

from intaglio.frontends import load_onnx, prepare


@pytest.mark.parametrize("seed", range(60))
def test_random_network_computes_the_same(seed: int, rng: np.random.Generator) -> None:
    network = RandomImages(seed)
    for _ in range(14):
        network.step()
    if len(network.values) == 1:
        return
    net = network.net
    ends = {network.values[-1][0], *(value for value, _, _ in network.values[1:-1:5])}
    x, _, last = network.values[-1]
    if seed % 3 == 0:
        sizes = network.values[-1][1]
        ends = {net.op("Gemm", net.op("Flatten", x), net.normal(int(np.prod(sizes)), 3, scale=0.1), net.normal(3))}
    elif seed % 3 == 1:
        ends.add(net.op("ReduceMean", x, [1, 2] if last else [2, 3], keepdims=0))
    model = net.output(*sorted(ends)).model()
    graph = prepare(load_onnx(model))
    feeds = feeds_for(model, rng)
    wanted = run(model, feeds)
    # Up to fourteen operators, each of which may amplify a rounding of its input a little.
    assert_same(run(graph, feeds), wanted, 2e-5)
    assert graph.batched
    more = feeds_for(graph.proto(), rng, batch=2)
    each = [run(model, {"x": more["x"][i : i + 1]}) for i in range(2)]
    assert_same(run(graph, more), [np.concatenate(rows) for rows in zip(*each, strict=True)], 2e-5)
    again = prepare(graph)
    assert again.history == graph.history
