"""Moments without data: the formulas against draws, propagation against what networks do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.correlation import FEATURES, IMAGE, Correlation
from intaglio.calibrate.data_free.moment_propagation import propagate
from intaglio.calibrate.data_free.noise import Noise
from intaglio.simulate import Simulator

QUANTILES = 100_000


def normals(rng: np.random.Generator, low: float, high: float) -> ClippedGaussian:
    mean, std = (torch.as_tensor(rng.uniform(a, b, 40)) for a, b in ((-8, 8), (0.01, 4)))
    return ClippedGaussian(mean, std, mean.new_tensor(low), mean.new_tensor(high))


BOUNDS = [(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0), (-np.inf, 1.0), (-1.0, 1.0)]


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_moments_of_cut_normals_are_those_of_their_quantiles(rng, low, high):
    x = normals(rng, low, high)
    quantiles = torch.special.ndtri((torch.arange(QUANTILES).double() + 0.5) / QUANTILES)[:, None]
    numbers = (x.mean + x.std * quantiles).clamp(low, high)
    mean, std = x.moments()
    torch.testing.assert_close(mean, numbers.mean(0), rtol=0, atol=1e-4)
    torch.testing.assert_close(std, numbers.std(0), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_moments_far_from_the_bounds_stay_finite_and_within(low, high):
    mean = torch.tensor([-1e6, -40.0, 0.0, 40.0, 1e6], dtype=torch.float64)[:, None]
    std = torch.tensor([0.0, 1e-300, 1e-6, 1.0, 1e6], dtype=torch.float64)[None]
    m, s = ClippedGaussian(mean.expand(5, 5), std.expand(5, 5), mean.new_tensor(low), mean.new_tensor(high)).moments()
    assert m.isfinite().all()
    assert s.isfinite().all()
    assert float(m.min()) >= low
    assert float(m.max()) <= high
    assert bool((s >= 0).all())
    assert bool((s[:, 0] == 0).all())  # without spread nothing varies


def test_shares_below_are_those_of_draws(rng):
    x = normals(rng, 0.0, 6.0)
    drawn = np.clip(rng.normal(size=(20_000, 1)) * x.std.numpy() + x.mean.numpy(), 0, 6)
    for at in (-1.0, 0.0, 1e-9, 0.5, 3.0, 6.0, 6.1):
        want = (drawn < at).mean(0)
        np.testing.assert_allclose(x.below(torch.tensor(at, dtype=torch.float64)).numpy(), want, atol=0.02)


def measured(graph: ig.Graph, feeds: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and std of every element, over samples."""
    seen: dict[str, list[torch.Tensor]] = {}
    Simulator(graph).run(feeds, observe=lambda n, y: seen.setdefault(n, []).append(y.double().clone()))
    found = {name: torch.cat(parts) for name, parts in seen.items()}
    return {name: (y.mean(0).numpy(), y.std(0).numpy()) for name, y in found.items()}


EXACT = {
    "clamps": [nn.ReLU(), nn.Hardtanh(0.2, 0.9)],
    "leaky": [nn.LeakyReLU(0.2)],
    "prelu": [nn.PReLU(3)],
    "movements": [nn.ReLU6(), nn.PixelShuffle(1), nn.Flatten()],
    "padded": [nn.ZeroPad2d(1), nn.ReLU()],
    "dense": [nn.Flatten(), nn.Linear(108, 7), nn.ReLU(), nn.Linear(7, 3)],
}


@pytest.mark.parametrize("kind", EXACT)
def test_independent_inputs_give_the_predicted_moments(kind, rng, monkeypatch):
    """Elements drawn independently: then every rule is exact but for products, whose correlations are switched off."""
    independent = Correlation(neighbours=0.0)
    monkeypatch.setattr("intaglio.calibrate.data_free.moment_propagation.IMAGE", independent)
    monkeypatch.setattr("intaglio.calibrate.data_free.moment_propagation.FEATURES", independent)
    monkeypatch.setattr("intaglio.calibrate.data_free.correlation.CLASSES", 0.0)
    torch.manual_seed(0)
    graph = ig.load(nn.Sequential(*EXACT[kind]).eval(), torch.zeros(1, 3, 6, 6))
    mean, std = rng.uniform(-1, 1, (1, 3, 6, 6)), rng.uniform(0.2, 1, (1, 3, 6, 6))
    name = graph.inputs[0].name
    found = propagate(graph, {name: ClippedGaussian.uncut(torch.as_tensor(mean), torch.as_tensor(std))})
    x = (rng.normal(size=(20_000, 3, 6, 6)) * std + mean).astype(np.float32)
    for value, (want_mean, want_std) in measured(graph, x).items():
        got_mean, got_std = (t[0].numpy() for t in found[value].moments())
        atol = 6 * np.max(want_std) / np.sqrt(len(x))
        # the second dense layer reads rectified numbers that are not independent: a fifth is allowed there
        np.testing.assert_allclose(got_mean, want_mean, atol=atol + 0.02 * np.max(want_std))
        np.testing.assert_allclose(got_std, want_std, rtol=0.2 if kind == "dense" else 0.05, atol=atol)


def test_means_of_a_padded_convolution_are_exact_at_its_borders(rng):
    torch.manual_seed(0)
    graph = ig.load(nn.Conv2d(2, 4, 3, padding=1, stride=2).eval(), torch.zeros(1, 2, 7, 7))
    mean = rng.uniform(-1, 1, (1, 2, 7, 7))
    found = propagate(
        graph, {graph.inputs[0].name: ClippedGaussian.uncut(torch.as_tensor(mean), torch.ones(1, 2, 7, 7).double())}
    )
    want = Simulator(graph).run(mean.astype(np.float32))[0]
    np.testing.assert_allclose(found[graph.outputs[0].name].mean.numpy(), want, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_variance_of_a_convolution_is_that_of_correlated_inputs(channels, rng):
    """Noise drawn with the assumed correlations has the predicted spread behind any filter."""
    torch.manual_seed(1)
    graph = ig.load(nn.Conv2d(channels, 6, 3).eval(), torch.zeros(1, channels, 10, 10))
    size = (1, channels, 10, 10)
    wide = torch.tensor(np.inf, dtype=torch.float64)
    x = ClippedGaussian(torch.zeros(size).double(), torch.ones(size).double(), -wide, wide)
    feeds = np.concatenate([b[graph.inputs[0].name] for b, _ in Noise({graph.inputs[0].name: x}, 3000).batches(500)])
    std = measured(graph, feeds)[graph.outputs[0].name][1].mean((1, 2))
    found = propagate(graph, {graph.inputs[0].name: x})[graph.outputs[0].name].std[0].mean((1, 2)).numpy()
    np.testing.assert_allclose(found, std, rtol=0.05)
    # and it is another one than that of independent numbers
    weight = graph.nodes[0].inputs[1].const_value.numpy()
    assert np.abs(np.log(np.sqrt(np.square(weight).sum((1, 2, 3))) / std)).max() > 0.3


class Odd(nn.Module):
    """Operators that have no rule of their own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.sigmoid(x)
        return torch.softmax(nn.functional.max_pool2d(y, 2).mean((2, 3)), 1)


def test_other_operators_are_drawn_the_same_way_each_time(rng):
    graph = ig.load(Odd().eval(), torch.zeros(1, 5, 8, 8))
    mean = torch.as_tensor(rng.uniform(-1, 1, (1, 5, 1, 1))).expand(1, 5, 8, 8)
    inputs = {graph.inputs[0].name: ClippedGaussian.uncut(mean, torch.ones(1, 5, 8, 8).double())}
    found, again = propagate(graph, inputs), propagate(graph, inputs)
    x = (rng.normal(size=(4000, 5, 8, 8)) + mean.numpy()).astype(np.float32)
    for name, (want, _) in measured(graph, x).items():
        got = found[name].moments()[0][0].numpy()
        np.testing.assert_array_equal(got, again[name].moments()[0][0].numpy())
        # the pool's rule takes neighbours for correlated, which these are not
        np.testing.assert_allclose(got, want, atol=0.1)
    low, high = found[graph.outputs[0].name].interval(6)
    assert float(low.min()) >= 0
    assert float(high.max()) <= 1


def test_recorded_moments_replace_predicted_ones(rng):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()).eval()
    net[1].running_var.copy_(torch.tensor([0.5, 2.0, 1.0, 0.0]))  # the last channel never varied
    net[1].bias.data.copy_(torch.tensor([3.0, -3.0, 0.1, 0.7]))
    graph = ig.load(net, torch.zeros(1, 3, 9, 9))
    ones = torch.ones(1, 3, 9, 9).double()
    found = propagate(graph, {graph.inputs[0].name: ClippedGaussian.uncut(0 * ones, ones)})
    (name, moments) = next(iter(graph.moments.items()))
    np.testing.assert_allclose(found[name].mean.mean((0, 2, 3)).numpy(), moments.mean, atol=1e-6)
    total = found[name].std.square().mean((0, 2, 3)) + found[name].mean.var((0, 2, 3), unbiased=False)
    np.testing.assert_allclose(total.sqrt().numpy(), moments.std, rtol=1e-6, atol=1e-9)
    assert FEATURES != IMAGE
