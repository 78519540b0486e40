"""Each gate passes on a sound network and fails on one that is made to fail it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.data import Dataset, open_data
from intaglio.data import match as matched
from intaglio.evaluation import FloatStage, Gate, LayerDifference, ProgramStage, check_gates, compare, evaluate
from intaglio.evaluation.gates import SQNR_FLOOR
from intaglio.evaluation.model_stages import steps_of
from intaglio.evaluation.stage import Show

CLASSES = 4
OPTIONS = {"calibrator": "max", "equalize": False, "bias_correction": False}


class Scores:
    """A stage whose outputs are given: input 0 is the sample's number."""

    engine = "scores"
    input_names = ("x",)
    input_shapes = ((1, 1),)

    def __init__(self, outputs: np.ndarray) -> None:
        self.outputs = outputs

    def run(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.outputs[x[0][:, 0].astype(int)],)

    def trace(self, show: Show, *x: np.ndarray) -> None:
        raise AssertionError("only outputs are looked at")


def labelled(labels: np.ndarray) -> Dataset:
    return open_data((np.arange(len(labels), dtype=np.float32)[:, None], labels))


def gates(outputs: np.ndarray, labels: np.ndarray, real: np.ndarray | None = None) -> dict[str, Gate]:
    perfect = np.eye(CLASSES)[labels]
    evaluation = evaluate([Scores(perfect if real is None else real), Scores(outputs)], labelled(labels))
    return {gate.name: gate for gate in check_gates(evaluation, None, CLASSES)}


LABELS = np.arange(40) % CLASSES


def test_a_sound_network_passes() -> None:
    found = gates(np.eye(CLASSES)[LABELS], LABELS)
    assert list(found) == ["finite", "not degenerate", "above chance"]
    assert all(gate.passed for gate in found.values())


@pytest.mark.parametrize("sample", [0, -1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_output_that_is_not_finite(value: float, sample: int) -> None:
    outputs = np.eye(CLASSES)[LABELS]
    outputs[sample, 2] = value
    assert not gates(outputs, LABELS)["finite"].passed
    assert evaluate([Scores(outputs)], labelled(LABELS), batch=8).finite == (False,), "one batch spoils the whole"


def test_a_network_that_predicts_one_class_only() -> None:
    constant = np.eye(CLASSES)[np.zeros(len(LABELS), int)]
    found = gates(constant, LABELS)
    assert not found["not degenerate"].passed
    assert found["not degenerate"].detail == "1 classes predicted, float predicts 4"
    assert gates(constant, LABELS, real=constant)["not degenerate"].passed, "as the float network does"


@pytest.mark.parametrize(("right", "passed"), [(10, False), (11, True)])
def test_chance_itself_is_not_above_chance(right: int, passed: bool) -> None:
    """10 of 40 is what guessing gives with four classes."""
    classes = np.where(np.arange(40) < right, LABELS, (LABELS + 1) % CLASSES)
    assert gates(np.eye(CLASSES)[classes], LABELS)["above chance"].passed is passed


def test_only_the_last_stage_is_judged() -> None:
    broken = np.full((40, CLASSES), np.nan)
    good = np.eye(CLASSES)[LABELS]
    assert gates(good, LABELS, real=broken)["finite"].passed
    assert not gates(broken, LABELS)["finite"].passed


def test_the_floor_itself_passes() -> None:
    def passed(*ratios: float) -> bool:
        (gate,) = check_gates(None, [LayerDifference("y", r, 0.0, None, 0.0) for r in ratios])
        return gate.passed

    assert passed(SQNR_FLOOR, math.inf)
    assert not passed(math.inf, math.nextafter(SQNR_FLOOR, 0))
    assert not passed(-math.inf)


def test_a_layer_whose_range_is_wrong_is_the_weakest(rng: np.random.Generator) -> None:
    """The range of the first layer is found on data that are a hundred times too small."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, CLASSES))
    graph, x = ig.load(net, torch.zeros(1, 6)), rng.normal(size=(64, 6)).astype(np.float32)
    data = matched(open_data(x), (1, 6))
    for share, passed in ((1.0, True), (0.01, False)):
        q = ig.quantize(graph, share * x, **OPTIONS)
        layers = compare(FloatStage(graph), ProgramStage(q.lower()), data, steps_of(q), samples=64)
        (gate,) = check_gates(None, layers)
        assert gate.passed is passed, gate
    weakest = min(layers, key=lambda layer: layer.sqnr)
    assert gate.detail == f"worst layer {weakest.name}: {weakest.sqnr:.1f} dB (floor 5 dB)"
