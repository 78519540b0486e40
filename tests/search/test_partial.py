"""Partial quantization: as few layers as suffice, the best found otherwise, in the widest formats that a target has."""

from __future__ import annotations

import math

import numpy as np
import pytest

import intaglio as ig
from intaglio.errors import TargetError
from intaglio.evaluation.held_back import ArraySamples
from intaglio.evaluation.trial import Trial
from intaglio.plan import Source, place
from intaglio.recover import equalize
from intaglio.search import layers_of, partial, sensitivity, wider_formats, wider_values
from intaglio.simulate import Simulator
from intaglio.targets import Target, load_target

W16 = Target.model_validate(
    {
        "version": 1,
        "name": "w16",
        "accumulator": 64,
        "activations": [{"type": f"int{bits}", "scheme": "symmetric"} for bits in (8, 16)],
        "weights": [{"type": f"int{bits}n", "scheme": "symmetric", "per": "channel"} for bits in (8, 16)],
    }
)


def search(scores, enough):
    """`partial` over a list of scores by number of layers raised; a network is the layers raised in it."""
    made = []

    def make(layers):
        made.append(len(layers))
        return tuple(layers)

    wider = {f"layer{i}": "a16" for i in range(len(scores) - 1)}
    found = partial((), wider, make, lambda q: scores[len(q)], enough)
    assert [one.count for one in found.tried] == [0, *made]
    assert found.result == tuple(found.layers) == tuple(wider)[: len(found.layers)]
    assert found.score == scores[len(found.layers)] or math.isnan(found.score)
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 20, 53])
def test_the_fewest_layers_that_hold_are_found_in_few_attempts(count):
    for needed in range(count + 1):
        scores = [50.0 + min(k, needed) for k in range(count + 1)]
        found = search(scores, 50.0 + needed)
        assert found.held
        assert len(found.layers) == needed
        assert len(found.tried) <= 2 * math.log2(count) + 4
        assert len({one.count for one in found.tried}) == len(found.tried)


def test_the_best_is_returned_if_none_is_good_enough():
    found = search([50.0, 52.0, 51.0, 49.0, 51.5], 60.0)
    assert not found.held
    assert (len(found.layers), found.score) == (1, 52.0)
    assert "not enough" in found.steps[-1].text
    found = search([50.0, 40.0, 41.0], 60.0)
    assert (found.layers, found.score) == ({}, 50.0)
    assert "no number of wider layers was better" in found.steps[-1].text
    assert found.steps[-1].kept is False


def test_nan_scores_never_pass_and_never_win():
    assert search([math.nan, math.nan, 5.0], 1.0).score == 5.0
    assert search([3.0, math.nan, math.nan], 4.0).score == 3.0
    assert math.isnan(search([math.nan, math.nan], 4.0).score)


def test_the_first_good_result_is_kept_if_more_layers_do_worse():
    found = search([50.0, 50.0, 50.0, 50.0, 54.0, 50.0, 50.0, 50.0, 50.0], 53.0)
    assert found.held
    assert len(found.layers) == 4


def test_no_layer_is_widened_if_not_needed_or_impossible():
    found = search([60.0, 61.0], 59.0)
    assert (found.held, len(found.tried), found.layers) == (True, 1, {})
    found = search([50.0], 59.0)
    assert (found.held, len(found.tried), found.layers) == (False, 1, {})


@pytest.mark.parametrize(
    ("target", "conv", "add"),
    [("cpu-int8", "a16", "a16"), ("w4a8", "w8", None), ("w4a4", "w8a8", None), (W16, "w16a16", "a16")],
    ids=["cpu-int8", "w4a8", "w4a4", "w16"],
)
def test_each_layer_gets_the_widest_format_that_the_target_has(graph, x, target, conv, add):
    described = load_target(target)
    made = ig.quantize(graph, x, described, calibrator="max", equalize=False, bias_correction=False)
    layers = layers_of(made.graph, made.plan)
    ranking = [layer.name for layer in layers][::-1]
    found = wider_formats(made.graph, made.plan, described, ranking)
    convs = [layer.name for layer in layers if layer.op_type == "Conv"]
    adds = [layer.name for layer in layers if layer.op_type == "Add"]
    assert found[convs[1]] == conv
    assert found.get(adds[0]) == add
    assert [name for name in ranking if name in found] == [name for name in found if name in ranking]
    if target == "cpu-int8":
        assert found["first"] == "a16"  # for the network's input
        gemm = next(layer.name for layer in layers if layer.op_type == "Gemm")
        assert gemm not in found  # scores have 16 bits already
    plan = place(made.graph, described, layers=found)
    for value in plan.values.values():
        if value.source is Source.OWN and value.name in made.plan.values:
            assert value.format.type.bits >= made.plan[value.name].format.type.bits
    again = ig.quantize(made.graph, x, described, layers=found, calibrator="max", equalize=False)
    with pytest.raises(TargetError, match="expected a wider format for at least one layer, got only"):
        wider_formats(again.graph, again.plan, described, ranking)
    again.lower()


@pytest.mark.parametrize(("target", "conv"), [("cpu-int8", {"a"}), ("w4a8", {"w"}), (W16, {"a", "w"})])
def test_only_what_could_be_widened_is_quantized_alone_and_left_out(graph, x, target, conv):
    described = load_target(target)
    made = ig.quantize(graph, x, described, calibrator="max", equalize=False, bias_correction=False)
    values = wider_values(graph, made.plan, described)
    layer = [one for one in layers_of(graph, made.plan) if one.op_type == "Conv"][1]
    nodes = [graph.nodes[i] for i in sorted(layer.nodes)]
    weight, result = str(nodes[0].inputs[1].name), str(nodes[-1].outputs[0].name)
    assert (weight in values, result in values) == ("w" in conv, "a" in conv)
    samples = ArraySamples([x[:8]])
    trial = Trial(graph, samples)
    found = sensitivity(graph, made.plan, samples, values=values)
    one = next(o for o in found.layers if o.name == layer.name)
    own = {weight, result} & values

    def sqnr(only):
        return trial.measure(Simulator(graph, made.plan, only=only)).sqnr

    assert one.alone.sqnr == pytest.approx(sqnr(lambda name: name in own), abs=1e-3)
    assert one.without.sqnr == pytest.approx(sqnr(lambda name: name not in own), abs=1e-3)


def test_a_target_with_one_width_and_unknown_layers_are_refused(graph, x):
    target = load_target("mcu-int8")
    made = ig.quantize(graph, x, target, calibrator="max", equalize=False, bias_correction=False)
    names = [layer.name for layer in layers_of(made.graph, made.plan)]
    with pytest.raises(
        TargetError,
        match="target mcu-int8: expected a wider format for at least one layer, got only int8, int8n; choose",
    ):
        wider_formats(made.graph, made.plan, target, names)
    with pytest.raises(TargetError, match="layer 'nowhere': expected a layer of the network"):
        wider_formats(made.graph, made.plan, target, ["nowhere"])
    assert wider_formats(made.graph, made.plan, target, []) == {}


def test_raising_layers_by_their_sensitivity_wins_back_output_error(graph, x):
    target = W16
    options = {"calibrator": "max", "equalize": False, "bias_correction": False}
    first = ig.quantize(graph, x, target, **options)  # all: more bits do not heal a range that is too small
    samples = ArraySamples([x[32:]])
    ranking = [layer.name for layer in sensitivity(first.graph, first.plan, samples).ranking()]
    trial = Trial(graph, samples)
    before = trial.sqnr(first.graph, first.plan)
    found = partial(
        first,
        wider_formats(first.graph, first.plan, target, ranking),
        lambda layers: ig.quantize(graph, x, target, layers=layers, **options),
        lambda q: trial.sqnr(q.graph, q.plan),
        before + 3.0,
        metric="SQNR",
        samples=16,
    )
    assert found.held
    assert trial.sqnr(found.result.graph, found.result.plan) == found.score >= before + 3.0
    assert len(found.layers) < len(ranking) / 2
    np.testing.assert_allclose(found.result.lower().run(x[:4]), found.result.simulate(x[:4]), atol=0.05)
    assert found.steps[-1].kept


def test_a_format_covers_caps_per_channel_behind_the_layer(graph, x):
    equal = equalize(graph)
    assert equal.caps
    target = load_target("int8-symmetric")
    plain = ig.quantize(equal.graph, x, target, calibrator="max", equalize=False, bias_correction=False)
    capped = [layer for layer in layers_of(equal.graph, plain.plan)
              if any(equal.graph.nodes[i].op_type == "Min" for i in layer.nodes)]  # fmt: skip
    assert capped
    for layer in capped:
        caps = equal.graph.nodes[max(layer.nodes)]
        assert caps.op_type == "Min"
        for asked in (layer.name, str(caps.name)):
            made = ig.quantize(equal.graph, x, target, layers={asked: "a16"}, calibrator="max", equalize=False)
            written = [made.plan.root(str(made.graph.nodes[i].outputs[0].name)) for i in layer.nodes]
            bits = [v.format.type.bits for v in written if v.source is not Source.FUSED]
            assert bits == [16] * len(bits)
            assert len(bits) >= 2
            np.testing.assert_allclose(made.lower().run(x[:4]), made.simulate(x[:4]), atol=0.05)
