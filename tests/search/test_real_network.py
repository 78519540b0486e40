"""On a trained network the ranking says which layers to raise."""

from __future__ import annotations

import pytest

import intaglio as ig
from intaglio.evaluation.held_back import ArraySamples
from intaglio.evaluation.model_stages import data_for
from intaglio.evaluation.trial import Trial
from intaglio.search import held_back, sensitivity, wider_formats, wider_values
from intaglio.targets import load_target


@pytest.mark.slow
def test_raising_the_worst_layers_gains_more_than_raising_the_others(shared_data):
    graph = ig.load(shared_data / "cifar10" / "mobilenetv2.onnx")
    target = load_target("cpu-int8")
    fitted, held = held_back(data_for(graph, shared_data / "cifar10" / "train.toml", 256), 128, 32)
    samples = ArraySamples(held)
    options = {"calibrator": "max", "equalize": False, "bias_correction": False}
    first = ig.quantize(graph, fitted, target, **options)
    found = sensitivity(first.graph, first.plan, samples, values=wider_values(first.graph, first.plan, target))
    wider = wider_formats(first.graph, first.plan, target, [layer.name for layer in found.ranking()])
    trial = Trial(graph, samples)

    def raised(names: list[str]) -> float:
        made = ig.quantize(graph, fitted, target, layers={name: wider[name] for name in names}, **options)
        return trial.sqnr(made.graph, made.plan)

    names = list(wider)
    assert len(names) > 8
    before = trial.sqnr(first.graph, first.plan)
    worst, others = raised(names[:3]), raised(names[6:9])
    assert worst > others + 0.3, (before, worst, others)
