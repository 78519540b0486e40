"""Inputs made from the network: they match what batch norm recorded, are the same each time, and are read like data."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate import calibrate
from intaglio.calibrate.data_free.synthesize import SynthesisSettings, Synthesized
from intaglio.errors import CalibrationError, UsageError
from intaglio.plan import place
from intaglio.simulate import Simulator
from intaglio.targets import load_target

FAST = SynthesisSettings(iterations=80, batch=16)


@functools.cache
def network() -> ig.Graph:
    """A network that was trained on images that noise does not look like: bright blots."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(128, 3, 12, 12)) * 0.1
    for image in x:
        i, j = generator.integers(0, 8, 2)
        image[:, i : i + 4, j : j + 4] += 2
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(800, 4),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        net(torch.as_tensor(x, dtype=torch.float32))
    return ig.load(net.eval(), torch.zeros(1, 3, 12, 12))


def all_of(data: Synthesized, n: int = 7) -> np.ndarray:
    return np.concatenate([x for x, _ in data.batches(n)])


def test_the_statistics_come_nearer_to_what_batch_norm_recorded():
    data = Synthesized(network(), 32, settings=FAST)
    step = data.step()
    assert step.after < 0.5 * step.before
    assert step.samples == 32
    assert "made from the network" in str(step)
    x = all_of(data)
    assert x.shape == (32, 3, 12, 12)
    seen: dict[str, list[torch.Tensor]] = {}
    Simulator(network()).run(x, observe=lambda n, y: seen.setdefault(n, []).append(y.clone()))
    for name, moments in network().moments.items():
        y = torch.cat(seen[name]).transpose(0, 1).flatten(1).double().numpy()
        assert (np.abs(y.mean(1) - moments.mean) / moments.std).mean() < 0.5


def test_samples_depend_on_the_seed_and_nothing_else():
    first, second = Synthesized(network(), 24, settings=FAST), Synthesized(network(), 40, settings=FAST)
    x = all_of(first)
    np.testing.assert_array_equal(x, all_of(first, 24))  # read again, in other batches
    np.testing.assert_array_equal(x, all_of(second)[:24])
    other = Synthesized(network(), 24, settings=SynthesisSettings(iterations=80, batch=16, seed=1))
    assert not np.array_equal(x, all_of(other))
    x[:] = 0
    assert all_of(first).any()


def test_batches_are_made_when_they_are_read(monkeypatch):
    from intaglio.calibrate.data_free import synthesize

    made, optimised = [], synthesize.optimised
    monkeypatch.setattr(
        synthesize, "optimised", lambda g, i, number, s: (made.append(number), optimised(g, i, number, s))[1]
    )
    data = Synthesized(network(), 48, settings=SynthesisSettings(iterations=2, batch=16))
    batches = data.batches(10)
    assert made == []
    next(batches)
    assert made == [0]
    next(batches)
    assert made == [0, 1]
    assert len([*batches]) == 3
    assert len([*data.batches(48)]) == 1
    assert made == [0, 1, 2]


def test_they_calibrate_like_data():
    data = Synthesized(network(), 32, settings=FAST)
    found = calibrate(network(), place(network(), load_target("cpu-int8")), data, calibrator="auto")
    assert found.statistics.samples + found.candidates[0].samples >= 32
    x = all_of(data)
    q = ig.quantize(network(), x, "int8-per-tensor", calibrator="max")
    assert np.isfinite(q.lower().run(x)).all()


def plain() -> ig.Graph:
    torch.manual_seed(0)
    return ig.load(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.zeros(1, 3, 8, 8))


def test_without_batch_norm_they_are_noise_in_the_stated_range():
    data = Synthesized(plain(), 40, input_range=(-1.0, 3.0))
    x = all_of(data)
    assert -1 <= x.min() < 0 < 2 < x.max() <= 3
    assert x.mean() == pytest.approx(1.0, abs=0.3)
    assert "noise" in str(data.step())
    assert "no batch norm" in str(data.step())


def test_without_batch_norm_and_range_it_says_what_to_give():
    with pytest.raises(CalibrationError, match=r"state one: input_range=\(low, high\)"):
        Synthesized(plain(), 8)


def test_a_stated_range_bounds_what_is_made():
    x = all_of(Synthesized(network(), 16, input_range=(0.0, 0.5), settings=FAST))
    assert 0 <= x.min() <= x.max() <= 0.5


def test_several_inputs_and_a_fixed_batch():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.b = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 4)

        def forward(self, image: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.norm(self.a(image))).mean((2, 3)) + self.b(vector)

    torch.manual_seed(0)
    net = Two().eval()
    net.norm.running_mean.fill_(0.2)
    graph = ig.load(net, (torch.zeros(1, 2, 6, 6), torch.zeros(1, 5)))
    names = [str(v.name) for v in graph.inputs]
    data = Synthesized(graph, 6, input_range={names[1]: (0.0, 1.0)}, settings=SynthesisSettings(iterations=5, batch=4))
    ((x, _),) = data.batches(6)
    assert {name: a.shape for name, a in x.items()} == {names[0]: (6, 2, 6, 6), names[1]: (6, 5)}
    calibrate(graph, place(graph, load_target("cpu-int8")), data, calibrator="max")


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"batch": 1}])
def test_settings_that_cannot_be_meant(wrong):
    with pytest.raises(UsageError, match="at least 1 iteration and 2 samples a batch"):
        SynthesisSettings(**wrong)
    with pytest.raises(UsageError, match="at least 1 sample"):
        Synthesized(network(), 0)


def test_names_from_before_the_four_folders_can_be_imported():
    """Scripts and older documentation have these."""
    from intaglio import calibrate as room

    for module, names in {
        "noise": ["Noise"],
        "synthesize": ["SynthesisSettings", "Synthesized"],
        "no_data": ["NoData", "calibrate_without_data", "predict"],
        "calibrators": ["CALIBRATORS", "parse_calibrator"],
        "statistics": ["Statistics"],
    }.items():
        for name in names:
            assert getattr(importlib.import_module(f"intaglio.calibrate.{module}"), name) is getattr(room, name)
