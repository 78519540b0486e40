from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.moment_propagation import propagate
from intaglio.calibrate.parameters.derive import derive
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph.access import constant
from intaglio.ops import Role
from intaglio.plan import Source
from intaglio.recover import activation_cache, correct_biases
from intaglio.recover.bias_correction import correct_biases_without_data
from intaglio.recover.biases import add_to_bias, bias_layers, settle
from intaglio.recover.sequential_bias import corrected_in_order
from intaglio.simulate import Simulator


def network(bias: bool = True) -> ig.Graph:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=bias), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6, padding=1)]
    layers += [nn.ConvTranspose2d(6, 4, 2, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    return ig.load(nn.Sequential(*layers).eval(), (torch.zeros(1, 3, 9, 9),))


def coarse(graph, x):
    """A calibrated Plan whose weights have steps so large that rounding shifts the means."""
    plan = ig.quantize(graph, x, calibrator="max", equalize=False, bias_correction=False).plan
    for value in plan.values.values():
        if value.role is Role.WEIGHT:
            p = value.params
            value.params = type(p)(p.type, p.scale * 40, p.zero_point, p.granularity)
    return plan


@pytest.fixture
def x(rng):
    return rng.normal(0.5, 1.0, size=(64, 3, 9, 9)).astype(np.float32)


def layer_mean(graph, plan, name, x):
    """Mean per output channel of one layer, with its rounded weights and its real input."""
    weights = {v.name for v in plan.values.values() if v.role is Role.WEIGHT} if plan else set()
    found = {}
    simulator = Simulator(graph, plan, only=lambda value: value in weights and found.get("at") is None)
    simulator.run(x, observe=lambda n, v: found.update({n: v.mean(dim=[i for i in range(v.ndim) if i != 1]).numpy()}))
    return found[name]


def test_the_first_layers_mean_becomes_that_of_float(x):
    graph = network()
    plan = coarse(graph, x)
    result = correct_biases(graph, plan, ArraySamples([x]), ArraySamples([x]), sequential=False)
    assert result.gain > 0
    first = graph.nodes[0].outputs[0].name
    want, before = layer_mean(graph, None, first, x), layer_mean(graph, plan, first, x)
    after = layer_mean(result.graph, result.plan, first, x)
    assert np.abs(before - want).max() > 0.01
    # one rounding of the bias; nothing else is left
    np.testing.assert_allclose(after, want, atol=1e-4)


def test_the_output_error_falls_and_the_given_network_stays(x):
    graph = network()
    plan = coarse(graph, x)
    text, biases = plan.to_json(), {v.name: constant(v).copy() for v in graph.initializers}
    result = correct_biases(graph, plan, ArraySamples([x[:48]]), ArraySamples([x[48:]]))
    assert result.gain > 1.0
    assert "kept" in str(result.steps[0])
    assert plan.to_json() == text
    for value in graph.initializers:
        np.testing.assert_array_equal(constant(value), biases[value.name])
    y, float_y = (Simulator(*a).run(x)[0] for a in ((result.graph, result.plan), (graph,)))
    program = ig.Quantized(result.graph, result.plan).lower()
    assert np.abs(program.run(x) - y).max() <= 2.5 * float(result.plan.params(graph.outputs[0].name).scale)
    assert np.square(y - float_y).sum() < np.square(Simulator(graph, plan).run(x)[0] - float_y).sum()


def test_a_layer_without_bias_gets_one(x):
    graph = network(bias=False)
    plan = coarse(graph, x)
    assert [*graph.nodes[0].inputs, None][2] is None
    result = correct_biases(graph, plan, ArraySamples([x]), ArraySamples([x]))
    bias = result.graph.nodes[0].inputs[2]
    assert result.plan[bias.name].source is Source.DERIVED
    assert result.plan[bias.name].why
    result.graph.verify()
    ig.Quantized(result.graph, result.plan).lower()


def test_reverted_if_outputs_get_worse(x):
    graph = network()
    plan = coarse(graph, x)
    misleading = ArraySamples([-50 * x])
    result = correct_biases(graph, plan, misleading, ArraySamples([x]))
    assert result.gain < 0
    assert result.graph is graph
    assert result.plan is plan
    assert "reverted" in str(result.steps[0])


# Layer after layer


def mean_outputs(graph, plan, x):
    """Mean per output channel of every layer with a bias, in the whole network."""
    found = {}
    simulator = Simulator(graph, plan)
    for node in bias_layers(graph):
        simulator.round.pop(node.outputs[0].name, None)  # before it is rounded; what follows is not looked at
        simulator.run(x, observe=lambda n, v: found.setdefault(n, v.double()))
        name = node.outputs[0].name
        y = found[name]
        yield name, y.mean(dim=[i for i in range(y.ndim) if i != (1 if y.ndim > 2 else y.ndim - 1)]).numpy()
        found.clear()
        simulator = Simulator(graph, plan)


def test_one_after_the_other_every_layers_mean_becomes_that_of_float(x):
    graph = network()
    plan = coarse(graph, x)
    made, new_plan = corrected_in_order(graph, plan, ArraySamples([x], 64), graph)
    want, before = dict(mean_outputs(graph, None, x)), dict(mean_outputs(graph, plan, x))
    for name, mean in mean_outputs(made, new_plan, x):
        assert np.abs(mean - want[name]).max() < 1e-3 + 0.01 * np.abs(before[name] - want[name]).max(), name


def test_the_order_does_not_depend_on_batches_or_on_where_values_are_kept(x, monkeypatch):
    graph = network()
    plan = coarse(graph, x)
    whole = corrected_in_order(graph, plan, ArraySamples([x], 64), graph)[0]
    monkeypatch.setattr(activation_cache, "KEPT_BYTES", 0)  # everything in a file
    parts = corrected_in_order(graph, plan, ArraySamples([x], 7), graph)[0]
    for a, b in zip(whole.initializers, parts.initializers, strict=True):
        np.testing.assert_allclose(constant(a), constant(b), rtol=1e-4, atol=1e-5)


def test_the_better_way_is_taken_and_both_are_reported(x):
    graph = network()
    plan = coarse(graph, x)
    some = ArraySamples([x[:48]]), ArraySamples([x[48:]])
    alone, ordered = (correct_biases(graph, plan, *some, sequential=way) for way in (False, True))
    both = correct_biases(graph, plan, *some)
    assert both.gain == pytest.approx(max(alone.gain, ordered.gain))
    assert "each by itself" in str(both.steps[0])
    assert "one after the other" in str(both.steps[0])


def test_one_image_is_enough(x):
    graph = network()
    plan = coarse(graph, x[:1])
    one = ArraySamples([x[:1]])
    result = correct_biases(graph, plan, one, one)
    assert result.gain > 0
    assert result.steps[0].samples == 1


# Without data


def expected(x):
    mean, std = (torch.as_tensor(f(0, keepdims=True)).double() for f in (x.mean, x.std))
    return ClippedGaussian.uncut(mean, std)


def test_expected_means_correct_the_first_layer_as_samples_do(x):
    graph = network()
    plan = coarse(graph, x)
    predicted = propagate(graph, {graph.inputs[0].name: expected(x)})
    made = correct_biases_without_data(graph, plan, predicted)
    first = graph.nodes[0].outputs[0].name
    np.testing.assert_allclose(
        layer_mean(made.graph, made.plan, first, x), layer_mean(graph, None, first, x), atol=1e-4
    )
    assert "not measured" in str(made.steps[0])
    assert made.steps[0].after is None
    measured = correct_biases_without_data(graph, plan, predicted, ArraySamples([x]))
    assert measured.gain > 0
    assert "kept" in str(measured.steps[0])


def test_expected_means_that_mislead_are_reverted(x):
    graph = network()
    plan = coarse(graph, x)
    predicted = propagate(graph, {graph.inputs[0].name: expected(-50 * x)})
    result = correct_biases_without_data(graph, plan, predicted, ArraySamples([x]))
    assert result.graph is graph
    assert "reverted" in str(result.steps[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shift", [0.01, 1e6])
def test_settling_one_layer_is_deriving_everything(x, bias, shift):
    """Small shifts change a bias alone; one that its weight's scale has to follow changes the layers behind too."""
    graph = network(bias)
    plan = coarse(graph, x)
    derive(graph, plan)
    simulator = Simulator(graph, plan)
    for node in bias_layers(graph):
        channels = node.outputs[0].shape[1 if node.op_type != "Gemm" else -1]
        add_to_bias(graph, plan, node, np.full(channels, shift))
        everything = plan.copy()
        derive(graph, everything)
        given, before = simulator, dict(simulator.constants)
        simulator = settle(graph, plan, given, [node])
        assert plan.to_json() == everything.to_json()
        anew = Simulator(graph, plan)
        assert simulator.constants.keys() == anew.constants.keys()
        assert all(torch.equal(simulator.constants[name], held) for name, held in anew.constants.items())
        for one, other in zip(simulator.run(x[:4]), anew.run(x[:4]), strict=True):
            np.testing.assert_array_equal(one, other)
        assert given.constants.keys() == before.keys()
        assert all(given.constants[name] is held for name, held in before.items()), "the given one is left as it is"
