"""The work of every step grows in proportion to the nodes of a network. Calls are counted, not seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from intaglio_tests.onnx_net import Net

import intaglio as ig
from intaglio.codegen.build import generate
from intaglio.codegen.machine import machine
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph.unique_names import names_kept
from intaglio.recover.channels import channel_groups
from intaglio.recover.equalization import scale_group
from intaglio.recover.sequential_bias import corrected_in_order

BLOCKS = 6
TOLERANCE = 0.01  # a walk over all nodes for each layer makes some of these steps grow by 10 % and more


def network(blocks: int) -> onnx.ModelProto:
    """Residual blocks of two branches that are concatenated; all blocks have the same weights."""
    net = Net()
    first, second, last = net.normal(4, 4, 1, 1), net.normal(4, 4, 1, 1), net.normal(4, 8, 1, 1)
    x = net.input("x", (1, 4, 2, 2))
    for _ in range(blocks):
        branches = [net.op("Relu", net.op("Conv", x, weight)) for weight in (first, second)]
        x = net.op("Add", net.op("Conv", net.op("Concat", *branches, axis=1), last), x)
    net.output(x)
    return net.model()


def calls(function: Callable[[], Any]) -> tuple[int, Any]:
    """Run a function and count the calls of Python and C functions in it."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        result = function()
    finally:
        sys.setprofile(before)
    return count, result


def calls_of_steps(blocks: int) -> dict[str, int]:
    """Count the calls of each step for a network of this many blocks."""
    model, found = network(blocks), {}
    data = np.random.default_rng(1).normal(size=(4, 4, 2, 2)).astype(np.float32)
    found["load"], graph = calls(lambda: ig.load(model))
    found["quantize"], quantized = calls(
        lambda: ig.quantize(graph, data, calibrator="max", equalize=False, bias_correction=False)
    )
    samples = ArraySamples([data])
    found["correct biases"], _ = calls(lambda: corrected_in_order(graph, quantized.plan, samples, graph))
    scaled = graph.copy()

    def scale() -> None:
        with names_kept(scaled.model.graph):
            for group in channel_groups(scaled):
                scale_group(scaled, group, np.full(group.channels, 2.0))

    found["scale channels"], _ = calls(scale)
    found["lower"], program = calls(quantized.lower)
    found["generate"], _ = calls(lambda: generate(program, machine("portable")))
    return found


def test_calls_of_every_step_grow_in_proportion_to_the_nodes() -> None:
    calls_of_steps(2)  # imports and caches
    few, more, most = (calls_of_steps(BLOCKS * times) for times in (1, 2, 3))
    growth = {step: (most[step] - more[step]) / (more[step] - few[step]) for step in few}
    print(growth)
    assert all(abs(times - 1) < TOLERANCE for times in growth.values()), growth
