"""Narrower weight ranges: taken where the outputs gain, layer by layer, and left where they do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate import calibrate
from intaglio.data import open_data
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph.access import constant
from intaglio.ops import Role
from intaglio.plan import place
from intaglio.recover.weight_clamp import MOST_GROUPS, _groups, clamp_weights
from intaglio.simulate import Simulator
from intaglio.targets import Target

torch.set_num_threads(1)
W4 = Target.model_validate(
    {
        "version": 1,
        "name": "test",
        "rule": "half_up",
        "activations": [{"type": "uint8", "scheme": "asymmetric"}],
        "weights": [{"type": "int4n", "scheme": "symmetric"}],
    }
)


def network(outliers: float) -> ig.Graph:
    """Two layers; one weight of the first is far from the others, and meets an input that is always 0."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)).eval()
    with torch.no_grad():
        net[0].weight[3, 0] = outliers
    return ig.load(net, (torch.zeros(1, 16),))


@pytest.fixture
def x(rng):
    made = rng.normal(size=(64, 16)).astype(np.float32)
    made[:, 0] = 0
    return made


def quantized(graph, x):
    return calibrate(graph, place(graph, W4), open_data(x), calibrator="max", weight_calibrator="max").plan


def split(x):
    return ArraySamples([x[:32]]), ArraySamples([x[32:]])


def test_an_outlier_that_does_not_matter_is_clipped(x):
    graph = network(8.0)
    plan = quantized(graph, x)
    result = clamp_weights(graph, plan, *split(x))
    assert result.gain > 6
    assert result.graph is graph
    (step,) = result.steps
    assert step.kept
    assert step.after - step.before == result.gain
    first = next(v for v in plan.values.values() if v.role is Role.WEIGHT).name
    assert float(result.plan.params(first).scale) < 0.5 * float(plan.params(first).scale)
    assert result.plan[first].calibrator in ("sigma-2", "sigma-3", "mse")


def test_biases_follow_the_weights_and_the_program_agrees(x):
    graph = network(8.0)
    result = clamp_weights(graph, quantized(graph, x), *split(x))
    for node in graph.nodes:
        if node.op_type == "Gemm":
            data, weight, bias = (result.plan.params(v.name) for v in node.inputs)
            np.testing.assert_allclose(bias.scale, data.scale * weight.scale, rtol=1e-6)
    y = Simulator(graph, result.plan).run(x)[0]
    program = ig.Quantized(graph, result.plan).lower()
    assert np.abs(program.run(x) - y).max() <= 1.5 * float(result.plan.params(graph.outputs[0].name).scale)


def test_reverted_if_held_back_samples_disagree(x):
    graph = network(8.0)
    other = x.copy()
    other[:, 0] = 5.0  # there the outlier matters
    plan = quantized(graph, np.concatenate([x, other]))
    result = clamp_weights(graph, plan, ArraySamples([x]), ArraySamples([other]))
    assert result.gain < 0
    assert result.plan is plan
    assert "reverted" in str(result.steps[0])


def test_weights_stay_as_they_are(x):
    graph = network(8.0)
    kept = {v.name: constant(v).copy() for v in graph.initializers}
    result = clamp_weights(graph, quantized(graph, x), *split(x))
    for value in result.graph.initializers:
        np.testing.assert_array_equal(constant(value), kept[value.name])


@pytest.mark.parametrize("count", [1, 5, MOST_GROUPS, MOST_GROUPS + 1, 100])
def test_groups_hold_every_layer_once(count):
    names = [str(i) for i in range(count)]
    groups = _groups(names)
    assert [name for group in groups for name in group] == names
    assert len(groups) == min(count, MOST_GROUPS)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
