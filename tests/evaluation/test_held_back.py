"""Samples to learn from and samples held back never overlap, whoever divides them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.calibrate.automatic import _observe_and_hold
from intaglio.calibrate.statistics.observer import Observer
from intaglio.calibrate.statistics.record import Needs
from intaglio.data import match, open_data
from intaglio.evaluation.held_back import ArraySamples, DatasetSamples
from intaglio.evaluation.trial import Trial
from intaglio.plan.place import place
from intaglio.samples import is_held_back
from intaglio.search import held_back
from intaglio.simulate import Simulator
from intaglio.targets import load_target
from intaglio.train.loop.training_samples import hold_back


@pytest.mark.parametrize(("held", "of"), [(1, 4), (3, 10), (7, 10), (1, 2), (5, 64), (64, 576), (1, 1000)])
def test_so_many_of_so_many_evenly_spread(held: int, of: int) -> None:
    which = is_held_back(np.arange(3 * of), held, of)
    assert which.reshape(3, of).sum(axis=1).tolist() == [held] * 3
    assert which[-1]
    gaps = np.diff(np.flatnonzero(which))
    assert set(gaps.tolist()) <= {of // held, -(-of // held)}


def numbered(count: int) -> np.ndarray:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)


def network() -> ig.Graph:
    torch.manual_seed(0)
    return ig.load(torch.nn.Linear(2, 2), torch.zeros(1, 2))


@pytest.mark.parametrize("count", [4, 7, 40, 100])
def test_learned_and_held_samples_are_disjoint_in_every_room(count: int) -> None:
    x, graph = numbered(count), network()
    data = match(open_data(x), (1, 2))
    divided = [tuple(part.arrays[0] for part in ArraySamples([x]).split())]
    fitted, kept = held_back(data, 512)
    divided.append((np.concatenate([a for a, _ in fitted.batches()]), kept[0]))
    learned, held = hold_back(data, 3)
    assert held is not None
    divided.append(tuple(np.concatenate([a for a, _ in part.batches()]) for part in (learned, held)))
    parts = [DatasetSamples(data, held=held).feeds(Simulator(graph)) for held in (False, True)]
    divided.append(tuple(np.concatenate([next(iter(feed.values())).numpy() for feed in part]) for part in parts))
    for some, others in (divided[0], divided[-1]):
        np.testing.assert_array_equal(some, x[~is_held_back(np.arange(count))])
        np.testing.assert_array_equal(others, x[is_held_back(np.arange(count))])
    observer = Observer(graph, place(graph, load_target("cpu-int8")), Needs.HISTOGRAM)
    feeds, shared = _observe_and_hold(observer, data, 8)
    assert not shared
    of_auto = np.concatenate([next(iter(feed.values())).numpy() for _, feed in feeds])
    assert observer.statistics.samples == count - len(of_auto)
    np.testing.assert_array_equal(of_auto, divided[0][1][:64])
    for some, others in divided:
        numbers = [set((part[:, 0] / 2).astype(int).tolist()) for part in (some, others)]
        assert numbers[1]
        assert not numbers[0] & numbers[1]
        assert numbers[0] | numbers[1] == set(range(count))


class Centred(torch.nn.Module):
    """Mixes the samples of a batch, so that its Graph takes one sample at a time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - 0.5 * x.mean(0)


def test_single_samples_are_divided_by_their_numbers_too() -> None:
    x, graph = numbered(11), ig.load(Centred(), torch.zeros(1, 2))
    assert not graph.batched
    data, held = match(open_data(x), (1, 2)), is_held_back(np.arange(11))
    for part, want in ((False, x[~held]), (True, x[held])):
        feeds = DatasetSamples(data, held=part).feeds(Simulator(graph))
        np.testing.assert_array_equal(np.concatenate([next(iter(feed.values())).numpy() for feed in feeds]), want)


def test_sqnr_of_a_network_does_not_depend_on_batches(rng: np.random.Generator) -> None:
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    graph = ig.load(net, torch.zeros(1, 2))
    x = rng.normal(2, 1, (24, 2)).astype(np.float32)
    q = ig.quantize(graph, x, calibrator="max", equalize=False, bias_correction=False)
    found = [Trial(graph, ArraySamples([x], batch)).sqnr(q.graph, q.plan) for batch in (1, 5, 24)]
    np.testing.assert_allclose(found, found[0], atol=1e-3)
    y = Simulator(graph).run(x)[0].astype(float)
    want = 10 * np.log10(((y - y.mean()) ** 2).sum() / ((y - np.asarray(q.simulate(x))) ** 2).sum())
    assert found[0] == pytest.approx(want, abs=1e-2)


def test_a_trial_stops_behind_the_batch_that_has_enough() -> None:
    graph = network()
    x = numbered(20)
    q = ig.quantize(graph, x, calibrator="max", equalize=False, bias_correction=False)
    trial = Trial(graph, ArraySamples([x], 5))
    assert trial.samples == 20
    for asked, seen in ((1, 5), (5, 5), (6, 10), (None, 20)):
        assert trial.measure(Simulator(q.graph, q.plan), asked).samples == seen
