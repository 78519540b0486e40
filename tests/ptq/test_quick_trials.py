"""Changes of the network before calibration are taken where a quick trial gains enough; its numbers are given here."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.data import open_data
from intaglio.evaluation.held_back import ArraySamples
from intaglio.plan import Step, place
from intaglio.ptq import choose_equalization
from intaglio.ptq.quick_trial import LEAST_GAIN, LEAST_GAIN_CAPS, QuickTrial
from intaglio.targets import load_target


@pytest.fixture(scope="module")
def graph() -> ig.Graph:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Conv2d(4, 3, 1)]
    with torch.no_grad():
        layers[0].weight[1] *= 30
        layers[2].weight[2] *= 30
    return ig.load(nn.Sequential(*layers).eval(), torch.zeros(1, 2, 4, 4))


def parts() -> tuple[object, ArraySamples, ArraySamples]:
    x = np.random.default_rng(0).normal(size=(16, 2, 4, 4)).astype(np.float32)
    return open_data(x), *ArraySamples([x]).split()


@pytest.mark.parametrize(
    ("gain", "gain_with_caps", "kept"),
    [
        (LEAST_GAIN - 0.01, LEAST_GAIN_CAPS - 0.01, [False, False]),
        (LEAST_GAIN, LEAST_GAIN + LEAST_GAIN_CAPS - 0.01, [True, False]),
        (LEAST_GAIN, LEAST_GAIN + LEAST_GAIN_CAPS, [True, True]),
        (LEAST_GAIN - 0.01, LEAST_GAIN_CAPS, [False, True]),
    ],
)
def test_equalization_has_to_gain_more_with_caps_and_more_than_without(
    graph, monkeypatch, gain: float, gain_with_caps: float, kept: list[bool]
) -> None:
    measured = iter([20.0, 20.0 + gain, 20.0 + gain_with_caps])
    trial = SimpleNamespace(sqnr=lambda _: next(measured), calibrator="given", samples_seen=4)
    unchanged = SimpleNamespace(changed=False, tried=False, steps=[])
    monkeypatch.setattr("intaglio.ptq.equalization_choice.QuickTrial", lambda *_: trial)
    monkeypatch.setattr("intaglio.ptq.equalization_choice.absorb_high_biases", lambda *_, **__: unchanged)
    chosen, steps = choose_equalization(graph, lambda g: place(g, load_target("cpu-int8")), *parts())
    assert [step.kept for step in steps if step.after is not None] == kept
    assert (chosen is graph) == (not any(kept))


@pytest.mark.parametrize(("before", "after"), [(20.0, 25.0), (25.0, 20.0)])
def test_a_quick_trial_counts_corrected_biases_where_they_help(graph, monkeypatch, before: float, after: float) -> None:
    step = Step("bias correction", "tried", "SQNR", before, after, 4, after > before)
    monkeypatch.setattr("intaglio.ptq.quick_trial.correct_biases", lambda *_, **__: SimpleNamespace(steps=[step]))
    data, samples, held = parts()
    trial = QuickTrial(graph, lambda g: place(g, load_target("cpu-int8")), data, samples, held, "max", None)
    assert trial.sqnr(graph) == 25.0
