"""Quantization that comes little by little, noise that is reproducible, and what a loop calls around a step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from intaglio_tests.follows import assert_freezes_to_itself

from intaglio.errors import UsageError
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph
from intaglio.train.estimators.estimator_registry import ESTIMATORS
from intaglio.train.estimators.proxquant import ProxQuant
from intaglio.train.gradual import Gradual, Schedule
from intaglio.train.module import QuantizedModule
from intaglio.train.prepare import prepare_qat
from intaglio.train.quantizers.pact import Pact


def network() -> torch.nn.Sequential:
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, stride=2, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 4),
    ).eval()


@pytest.fixture(scope="module")
def raw() -> Graph:
    return load_torch(network(), torch.zeros(1, 3, 8, 8))


def batch(n: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    y = torch.randint(0, 4, (n,), generator=generator)
    x = torch.randn((n, 3, 8, 8), generator=generator)
    x[torch.arange(n), y.clamp(max=2)] += 1.5
    return x, y


def train(
    qat: QuantizedModule, steps: int = 30, gradual: Gradual | None = None, *, start: int = 0, until: int | None = None
) -> list[float]:
    """Some steps of plain SGD, which has nothing to remember."""
    x, y = batch()
    optimizer = torch.optim.SGD(qat.parameters(), lr=0.02)
    losses = []
    for step in range(start, steps if until is None else until):
        progress = step / steps
        qat.train()
        if gradual is not None:
            gradual.apply(qat, progress)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(qat(x), y) + qat.penalty()
        loss.backward()
        optimizer.step()
        qat.after_step((step + 1) / steps)
        losses.append(loss.item())
    return losses


# -- estimators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["w4a4", "w2a2"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_learns_and_equals_the_frozen_network(raw, estimator, target) -> None:
    qat, (x, y) = prepare_qat(raw, target=target, estimator=estimator, seed=3), batch()
    optimizer = torch.optim.SGD(qat.parameters(), lr=0.03, momentum=0.9)
    losses = []
    for step in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(qat(x), y)
        loss.backward()
        optimizer.step()
        qat.after_step(step / 60)
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
    assert_freezes_to_itself(qat, batch()[0])


def test_weights_and_activations_may_have_different_estimators(raw) -> None:
    qat = prepare_qat(raw, target="w4a8", estimator="dsq", weight_estimator="stochastic", method="pact")
    weights = {type(qat.quantizer(name).estimator).__name__ for name in qat.weight_names()}
    others = {type(q.estimator).__name__ for q in qat.quantizers.values()}
    assert weights == {"Stochastic"}
    assert others == {"Stochastic", "Dsq"}
    assert any(isinstance(q, Pact) for q in qat.quantizers.values())


@pytest.mark.parametrize("estimator", ["stochastic", "gumbel"])
def test_a_seed_gives_the_same_numbers_and_a_checkpoint_resumes(raw, estimator) -> None:
    first, second, other = (prepare_qat(raw, target="w4a8", estimator=estimator, seed=seed) for seed in (5, 5, 6))
    losses = train(first, 6)
    train(second, 6, until=3)
    resumed = prepare_qat(raw, target="w4a8", estimator=estimator, seed=0)
    resumed.load_state_dict(second.state_dict())
    assert train(resumed, 6, start=3) == losses[3:]
    twin = copy.deepcopy(second)
    assert train(second, 6, start=3) == losses[3:]
    assert train(twin, 6, start=3) == losses[3:]
    assert train(other, 6) != losses
    seeds = [q.estimator.seed for q in first.quantizers.values()]
    assert len(set(seeds)) == len(seeds)


def test_proximal_steps_bring_weights_to_their_grid(raw) -> None:
    qat = prepare_qat(raw, target="w4a8", estimator="proxquant", method="range")
    for name in qat.weight_names():  # a hundred steps instead of thousands
        qat.quantizer(name).estimator = ProxQuant(rate=0.1)

    def distance() -> float:
        total = 0.0
        for name in qat.weight_names():
            weight, _ = qat.seen_weight(name)
            total += float((qat.quantizer(name).eval()(weight) - weight).abs().sum())
        return total

    train(qat, 100, until=5)
    early = distance()
    train(qat, 100, start=5, until=70)
    assert distance() < 0.9 * early
    train(qat, 100, start=70)
    assert distance() < 1e-3 * early
    assert_freezes_to_itself(qat, batch()[0])


def test_proximal_steps_refuse_methods_that_transform_weights_before_rounding(raw) -> None:
    with pytest.raises(UsageError, match="rounds weights directly"):
        prepare_qat(raw, target="ternary", method="twn", estimator="proxquant")


def test_methods_are_refused_if_no_weight_has_their_format(raw) -> None:
    with pytest.raises(
        UsageError, match="method 'ttq': expected symmetric weights of 3 or 4 bits, .* of target ternary"
    ):
        prepare_qat(raw, target="ternary", method="ttq")
    with pytest.raises(UsageError, match="method 'xnor': expected bipolar weights"):
        prepare_qat(raw, target="cpu-int8", weight_method="xnor")
    with pytest.raises(UsageError, match="method: expected one of range, lsq"):
        prepare_qat(raw, method="magic")
    with pytest.raises(UsageError, match="estimator: expected one of clipped, straight-through"):
        prepare_qat(raw, estimator="magic")


# -- little by little --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weights", "noise", "layers"])
def test_the_share_of_rounded_weights_grows_from_none_to_all(raw, kind) -> None:
    qat = prepare_qat(raw, target="w2a8", method="range")
    x, _ = batch()
    qat(x)
    qat.freeze_batch_norm()
    names, counted = qat.weight_names(), []
    for progress in (0.0, 0.3, 0.4, 0.6, 0.9):
        Gradual(kind, start=0.2, end=0.8).apply(qat, progress)
        rounded = 0
        for name in names:
            weight, _ = qat.seen_weight(name)
            with torch.no_grad():
                rounded += int((qat.quantizer(name)(weight) != weight).sum())
        counted.append(rounded)
    assert counted[0] == 0
    assert counted == sorted(counted)
    assert counted[-1] > 0
    with torch.no_grad():
        torch.testing.assert_close(qat(x), copy.deepcopy(qat).eval()(x), atol=1e-5, rtol=1e-4)


def test_gradual_noise_is_the_given_part_of_the_rounding_error(raw) -> None:
    qat = prepare_qat(raw, target="w2a8", method="range")
    x, _ = batch()
    qat(x)
    Gradual("noise", 0.0, 1.0).apply(qat, 0.25)
    name = qat.weight_names()[-1]
    weight, _ = qat.seen_weight(name)
    quantizer = qat.quantizer(name)
    partly = quantizer(weight)
    torch.testing.assert_close(partly - weight, 0.25 * (quantizer.eval()(weight) - weight))


def test_frozen_codes_stay_while_the_rest_trains(raw) -> None:
    qat = prepare_qat(raw, target="w4a8")
    gradual = Gradual("weights", 0.0, 1.0)
    train(qat, 40, gradual, until=2)
    name = qat.weight_names()[1]
    held = qat.quantizer(name).held.clone()
    largest = qat.seen_weight(name)[0].abs().flatten().topk(held.numel() // 2).indices
    stays = ~held.isnan()
    assert stays.sum() == held.numel() // 2
    assert stays.flatten()[largest].float().mean() > 0.9  # trained for a step since
    train(qat, 40, gradual, start=2, until=8)
    now = qat.quantizer(name).held
    assert torch.equal(now[stays], held[stays])
    codes = (
        qat.quantizer(name).eval()(qat.seen_weight(name)[0]) / qat.quantizer(name).scale_now().reshape(-1, 1, 1, 1)
    ).round()
    assert torch.equal(codes[stays], held[stays])
    train(qat, 40, gradual, start=8)
    assert not qat.quantizer(name).held.isnan().any()
    assert_freezes_to_itself(qat, batch()[0])


@pytest.mark.parametrize("kind", ["weights", "noise", "layers"])
def test_gradual_training_learns_and_resumes_from_a_checkpoint(raw, kind) -> None:
    gradual = Gradual(kind, 0.1, 0.7)
    whole, half = (prepare_qat(raw, target="w4a8") for _ in range(2))
    losses = train(whole, 30, gradual)
    assert losses[-1] < 0.9 * losses[0]
    train(half, 30, gradual, until=15)
    resumed = prepare_qat(raw, target="w4a8")
    resumed.load_state_dict(half.state_dict())
    assert train(resumed, 30, gradual, start=15) == losses[15:]
    assert_freezes_to_itself(whole, batch()[0])


def test_scheduled_freezing_is_permanent(raw) -> None:
    qat, x = prepare_qat(raw, method="range"), batch()[0]
    schedule = Schedule(freeze_ranges=0.5, freeze_batch_norm=0.8)
    qat(x)
    schedule.apply(qat, 0.6)
    quantizer = qat.quantizer(str(qat.graph.inputs[0].name))
    low, mean = quantizer.low.clone(), qat.get_buffer("1.running_mean").clone()
    qat(x * 3)
    assert torch.equal(quantizer.low, low)
    assert not torch.equal(qat.get_buffer("1.running_mean"), mean)
    schedule.apply(qat, 0.8)
    mean = qat.get_buffer("1.running_mean").clone()
    qat(x)
    assert torch.equal(qat.get_buffer("1.running_mean"), mean)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="gradual: expected one of weights, noise, layers, got 'magic'"):
        Gradual("magic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 <= start < end <= 1"):
        Gradual("noise", 0.5, 0.5)
    with pytest.raises(UsageError, match="freeze_ranges: expected a fraction of the training"):
        Schedule(freeze_ranges=2)


# -- around a step -----------------------------------------------------------------------------------------------------


def test_scales_that_collapsed_are_named(raw) -> None:
    qat = prepare_qat(raw, target="cpu-int8")
    qat(batch()[0])
    assert qat.check_scales() == []
    weight, data = qat.weight_names()[0], str(qat.graph.inputs[0].name)
    with torch.no_grad():
        qat.quantizer(weight).scale.mul_(1e-4)
        qat.quantizer(data).scale.fill_(float("nan"))
    assert sorted(qat.check_scales()) == sorted([weight, data])


def test_the_penalty_sums_over_every_clipping_level(raw) -> None:
    qat = prepare_qat(raw, method="pact")
    qat(batch()[0])
    levels = [q.kept().detach() for q in qat.quantizers.values() if isinstance(q, Pact)]
    assert float(qat.penalty().detach()) == pytest.approx(2e-4 * sum(float(level) ** 2 for level in levels), rel=1e-5)
    assert float(prepare_qat(raw).penalty()) == 0
