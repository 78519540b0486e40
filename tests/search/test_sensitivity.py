"""Sensitivity: what each layer does alone and left out, cached, shared among processes, ranked."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.data import match, open_data
from intaglio.errors import DataError, UsageError
from intaglio.evaluation.held_back import ArraySamples
from intaglio.evaluation.model_stages import data_for
from intaglio.evaluation.trial import Trial
from intaglio.number import QuantParams
from intaglio.ops import Role
from intaglio.plan import Source
from intaglio.recover import equalize
from intaglio.search import Effect, LayerSensitivity, Sensitivities, held_back, layers_of, sensitivity
from intaglio.simulate import Simulator

module = sys.modules["intaglio.search.sensitivity"]


def harmed(quantized, layer):
    """The Plan with the weights of one layer rounded to a few codes."""
    plan = quantized.plan.copy()
    node = quantized.graph.node(layer)
    value = plan[str(node.inputs[1].name)]
    coarse = QuantParams(value.params.type, value.params.scale * 40, granularity=value.params.granularity)
    plan.values[value.name] = dataclasses.replace(value, params=coarse)
    return plan


def values_of(graph, plan, layer):
    """Names of the values that a layer rounds."""
    nodes = [graph.nodes[i] for i in layer.nodes]
    names = {str(v.name) for node in nodes for v in node.outputs}
    return names | {str(v.name) for node in nodes for v in node.inputs if v is not None and v.is_initializer()}


def test_alone_and_without_are_what_the_simulator_gives_with_these_values_only(graph, quantized, x):
    samples = ArraySamples([x[:12]], 5)
    found = sensitivity(graph, quantized.plan, samples)
    trial = Trial(graph, samples)
    layers = layers_of(graph, quantized.plan)
    assert [layer.name for layer in found.layers] == [layer.name for layer in layers]
    for layer, one in zip(layers, found.layers, strict=True):
        names = values_of(graph, quantized.plan, layer) if layer.nodes else {layer.value}

        def sqnr(inside, names=names):
            only = Simulator(graph, quantized.plan, only=lambda name: (name in names) == inside)
            return trial.measure(only).sqnr

        assert one.alone.sqnr == pytest.approx(sqnr(True), abs=1e-3), layer
        assert one.without.sqnr == pytest.approx(sqnr(False), abs=1e-3), layer
    assert found.quantized.sqnr == pytest.approx(trial.sqnr(graph, quantized.plan), abs=1e-3)
    assert found.samples == 12


def test_every_value_that_is_rounded_belongs_to_one_layer(graph, quantized, x):
    equal = equalize(graph)
    assert equal.caps, "the network shall have caps per channel"
    capped = ig.quantize(equal.graph, x, calibrator="max", equalize=False, bias_correction=False)
    for made in (quantized, capped):
        layers = layers_of(made.graph, made.plan)
        rounded = set(Simulator(made.graph, made.plan).round)
        values = [layer.value for layer in layers if layer.value]
        values += [str(v.name) for layer in layers for i in layer.nodes for v in made.graph.nodes[i].outputs]
        assert len(values) == len(set(values))
        assert rounded <= set(values)
        weights = {v.name for v in made.plan.values.values() if v.role is Role.WEIGHT and v.source is Source.OWN}
        inside = {str(v.name) for one in layers for i in one.nodes for v in made.graph.nodes[i].inputs if v is not None}
        assert weights <= inside
    names = {layer.name for layer in layers}
    assert not any(node.op_type == "Min" and str(node.name) in names for node in capped.graph.nodes)


@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_a_layer_with_coarse_weights_is_ranked_first(graph, quantized, x, labels, kind):
    name = [str(n.name) for n in graph.nodes if n.op_type == kind][-1]
    evaluation = data_for(graph, (x, labels), labels=True)
    found = sensitivity(graph, harmed(quantized, name), ArraySamples([x[:16]]), evaluation=evaluation)
    assert found.ranking()[0].name == name
    assert found.real == 100.0
    assert found.scored == 48
    worst = min(found.layers, key=lambda one: one.alone.score)
    assert worst.name == name
    assert found.ranking("score")[0].name == name


def test_an_interrupted_run_goes_on_and_ends_the_same(graph, quantized, x, labels, tmp_path, monkeypatch):
    evaluation = data_for(graph, (x, labels), 20, labels=True)
    args = (graph, quantized.plan, ArraySamples([x[:8]]))
    whole = sensitivity(*args, evaluation=evaluation, path=tmp_path / "whole.json")
    monkeypatch.setattr(module, "LAYERS_AT_ONCE", 2)
    measure, seen = module._Work.measure, []

    def counting(self, layers):
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.extend(layers)
        return measure(self, layers)

    monkeypatch.setattr(module._Work, "measure", counting)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(*args, evaluation=evaluation, path=tmp_path / "part.json")
    part = json.loads((tmp_path / "part.json").read_text())
    assert [one["name"] for one in part["layers"]] == [layer.name for layer in seen]
    seen[:] = [None] * 5
    again = sensitivity(*args, evaluation=evaluation, path=tmp_path / "part.json")
    assert len(seen) == 5 + len(whole.layers) - 4
    assert again.layers == whole.layers
    assert (tmp_path / "part.json").read_text() == (tmp_path / "whole.json").read_text()
    assert again.notes == [f"4 layers reused from {tmp_path / 'part.json'}"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_changed_inputs_are_measured_again_with_a_note(graph, quantized, x, labels, tmp_path):
    path, samples = tmp_path / "s.json", ArraySamples([x[:8]])
    first = sensitivity(graph, quantized.plan, samples, path=path)
    assert first.notes == []
    plan = harmed(quantized, str(next(n.name for n in graph.nodes if n.op_type == "Gemm")))
    other = sensitivity(graph, plan, samples, path=path)
    assert "plan has changed since it was written: all layers measured again" in other.notes[0]
    assert other.layers == sensitivity(graph, plan, samples).layers
    assert "samples" in sensitivity(graph, plan, ArraySamples([x[8:16]]), path=path).notes[0]
    evaluation = data_for(graph, (x, labels), 8, labels=True)
    scored = sensitivity(graph, plan, ArraySamples([x[8:16]]), evaluation=evaluation, path=path)
    assert "evaluation data and metric have changed" in scored.notes[0]
    changed = graph.copy()
    bias = next(v for v in changed.initializers if v.const_value.numpy().shape == (4,))
    from intaglio.graph.edit import set_constant

    set_constant(bias, bias.const_value.numpy() + np.float32(0.5))
    found = sensitivity(changed, plan, ArraySamples([x[8:16]]), evaluation=evaluation, path=path)
    assert "is of another network" in found.notes[0]


def test_real_weights_of_a_network_whose_biases_were_corrected_come_from_the_reference(graph, x):
    made = ig.quantize(graph, x, calibrator="max", equalize=False, bias_correction=True)
    found = sensitivity(made.graph, made.plan, ArraySamples([x[:8]]), reference=graph)
    real = sensitivity(graph, made.plan, ArraySamples([x[:8]]))
    gemm = next(i for i, layer in enumerate(layers_of(graph, made.plan)) if layer.op_type == "Add")
    assert found.layers[gemm].alone == real.layers[gemm].alone  # an Add has no bias: the same but for its layer
    smaller = ig.load(torch.nn.Linear(3, 4), (torch.zeros(1, 3),))
    with pytest.raises(UsageError, match="reference: expected the nodes of the quantized network"):
        sensitivity(graph, made.plan, ArraySamples([x[:8]]), reference=smaller)


def test_bad_input(graph, quantized, x, labels, tmp_path):
    samples = ArraySamples([x[:4]])
    with pytest.raises(UsageError, match="metric: expected one of .*top1.*, got 'beauty'"):
        sensitivity(graph, quantized.plan, samples, metric="beauty")
    unlabelled = open_data(x)
    with pytest.raises(DataError, match="expected a label for each sample, as top1 needs them, got none"):
        sensitivity(graph, quantized.plan, samples, evaluation=unlabelled)
    labelled = data_for(graph, (x, labels), labels=True)
    with pytest.raises(DataError, match="expected a finite metric of the float network, got nan"):
        sensitivity(graph, quantized.plan, samples, evaluation=labelled, metric=lambda outputs, targets: np.nan)
    for name, text in {"text": "words", "list": "[1]", "other": '{"format": "intaglio-plan", "version": 1}'}.items():
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        with pytest.raises(UsageError, match=f"{name}.json: expected the sensitivities of layers, got something else"):
            sensitivity(graph, quantized.plan, samples, path=path)
        assert path.read_text() == text
    with pytest.raises(UsageError, match="expected to write the sensitivities of layers here"):
        sensitivity(graph, quantized.plan, samples, path=tmp_path)
    with pytest.raises(UsageError, match="expected to write the sensitivities of layers here"):
        sensitivity(graph, quantized.plan, samples, path=tmp_path / "text.json" / "s.json")
    with pytest.raises(UsageError, match="ranking by score: expected a task metric"):
        sensitivity(graph, quantized.plan, samples).ranking("score")


def test_scores_that_are_nan_do_infinite_harm():
    def layer(name, alone, without, score):
        return LayerSensitivity(name, "Conv", Effect(alone, score), Effect(without, 60.0))

    layers = [layer("a", 30.0, 21.0, 69.0), layer("b", 40.0, 20.5, float("nan")), layer("c", 25.0, 23.0, 68.0)]
    found = Sensitivities("net", "target", "top1", 8, 100, 70.0, Effect(20.0, 60.0), layers)
    assert [one.name for one in found.ranking()] == ["c", "a", "b"]
    assert [one.name for one in found.ranking("score")] == ["b", "c", "a"]
    again = Sensitivities.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert repr(again) == repr(found)
    assert found.harm(layers[2]) == pytest.approx(0.5 * (10**-2.5 + 10**-2.0 - 10**-2.3))
    assert found.harm(layers[2], "score") == pytest.approx(0.5 * (2.0 + 0.0))


@pytest.mark.parametrize(("count", "samples", "held", "want"), [
    (100, 512, None, (75, 25)), (1000, 512, None, (512, 64)), (2, 512, None, (1, 1)), (1, 5, None, (1, 1)),
    (80, 512, 8, (72, 8)), (100, 512, 64, (36, 64)), (1000, 20, 5, (20, 5)), (2, 512, 1, (1, 1)),
])  # fmt: skip
def test_samples_are_held_back_among_those_for_calibration(count, samples, held, want):
    x = np.arange(3 * count, dtype=np.float32).reshape(-1, 3)
    fitted, rest = held_back(match(open_data(x), (1, 3)), samples, held)
    assert (len(fitted), len(rest[0])) == want
    if count > 1:
        first = np.concatenate([a for a, _ in fitted.batches()])
        both = np.concatenate([first, rest[0]])
        np.testing.assert_array_equal(both[np.argsort(both[:, 0])], x[: sum(want)])
        gaps = np.diff(rest[0][:, 0]) / 3
        assert gaps.max(initial=0) - gaps.min(initial=gaps.max(initial=0)) <= 1, "evenly spread"
    again = held_back(match(open_data(iter(list(x))), (1, 3)), samples, held)
    np.testing.assert_array_equal(again[1][0], rest[0])


def test_two_processes_equal_one(graph, x, labels, tmp_path):
    graph.save(tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=x, y=labels)
    arguments = ["-m", "intaglio", "sensitivity", str(tmp_path / "net.onnx"), "--data", str(tmp_path / "data.npz")]
    arguments += ["--eval", str(tmp_path / "data.npz"), "--calibrator", "max", "--json", "-o"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*command, output):
        whole = [*command, *arguments, str(output)]
        done = subprocess.run(whole, capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    one = run(sys.executable, output=tmp_path / "one.json")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = run(*torchrun, output=tmp_path / "two.json")
    assert one == two
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()
    assert len(one["ranking"]) == len(one["layers"]) > 8
