"""A recipe does what it says: every rounding, with and without recovery, and refuses what cannot be meant."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.errors import UsageError
from intaglio.ptq.recipe import ROUNDINGS, Recipe


@pytest.fixture(scope="module")
def graph() -> ig.Graph:
    torch.manual_seed(11)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.ReLU6(), torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 16, 5),
    )  # fmt: skip
    return ig.load(net.eval(), torch.zeros(1, 2, 6, 6))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(48, 2, 6, 6)).astype(np.float32)


def algorithms(q: ig.Quantized) -> set[str]:
    return {step.algorithm for step in q.steps} - {"graph"}


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_rounding_lowers_to_the_simulated_network(graph, x, rounding) -> None:
    q = ig.quantize(graph, x, "w4a8", calibrator="max", rounding=rounding, iterations=8)
    assert np.abs(q.lower().run(x) - q.simulate(x)).max() <= 0.05 * np.abs(q.simulate(x)).max()


def test_only_calibration_if_no_recovery_is_asked_for(graph, x) -> None:
    q = ig.quantize(graph, x, calibrator="max", equalize=False, bias_correction=False)
    assert algorithms(q) == {"calibration"}
    assert q.prepared is graph
    assert q.statistics is not None and q.statistics.samples == 48


@pytest.mark.parametrize("bias_correction", [True, False])
def test_auto_compares_calibrators_as_they_will_be_used(graph, x, bias_correction: bool) -> None:
    """Where biases are corrected in the end they are corrected in each candidate; w4a8 shifts every mean."""
    q = ig.quantize(graph, x + 1, "w4a8", equalize=False, bias_correction=bias_correction)
    (step,) = (step for step in q.steps if step.algorithm == "calibration" and step.after is not None)
    assert ("held-back samples with biases corrected" in str(step)) == bias_correction
    assert any("the target's own" in str(step) for step in q.steps)  # max in the first and last layer, mse between


def test_a_generator_is_cached_for_algorithms_that_read_again(graph, x) -> None:
    once = ig.quantize(graph, (a[None] for a in x), calibrator="max")
    assert once.plan.to_json() == ig.quantize(graph, x, calibrator="max").plan.to_json()


def test_one_calibration_sample_is_enough_for_everything(graph, x) -> None:
    q = ig.quantize(graph, x[:1], "w4a8", smooth=True, clamp_weights=True, rounding="gptq")
    assert np.isfinite(q.lower().run(x)).all()


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"calibrator": "maximum"}, "calibrator: expected"),
        ({"rounding": "down"}, "rounding: expected one of nearest, gptq, adaround, blocks, got 'down'"),
        ({"iterations": 0}, "iterations: expected at least 1, got 0"),
    ],
)
def test_unknown_choices_are_refused(choice, text) -> None:
    with pytest.raises(UsageError, match=text):
        Recipe(**choice)


@pytest.mark.slow
def test_four_times_as_deep_is_hardly_more_than_four_times_the_work() -> None:
    """Counted in calls of Python functions, which depends neither on the machine nor on what else it does."""

    def work(depth: int) -> int:
        torch.manual_seed(0)
        layers = [layer for _ in range(depth) for layer in (torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.ReLU())]
        graph = ig.load(torch.nn.Sequential(*layers).eval(), torch.zeros(1, 4, 5, 5))
        count = 0

        def see(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event == "call"

        x = np.random.default_rng(0).normal(size=(16, 4, 5, 5)).astype(np.float32)
        before = sys.getprofile()
        sys.setprofile(see)
        try:
            ig.quantize(graph, x)
        finally:
            sys.setprofile(before)
        return count

    work(2)  # what is imported late
    assert work(16) < 4.75 * work(4)


@pytest.mark.parametrize(("factor", "text"), [(20.0, ""), (500.0, "can outweigh its -100")])
def test_a_mask_that_scores_outweigh_becomes_a_sum(factor: float, text: str) -> None:
    class Masked(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            keep = torch.ones(6, 6).tril().bool()
            return torch.softmax(factor * x + torch.where(keep, 0.0, -100.0), -1)

    x = np.random.default_rng(4).uniform(-1, 1, (32, 2, 6, 6)).astype(np.float32)
    loaded = ig.load(Masked(), torch.zeros(1, 2, 6, 6))
    q = ig.quantize(loaded, x, "int16x8", calibrator="max", equalize=False, bias_correction=False)
    wanted = Masked()(torch.from_numpy(x)).numpy()
    assert any(text in str(step) for step in q.steps)
    assert any("positions are masked" in v.why for v in q.plan.values.values()) == (text == "")
    assert np.abs(q.lower().run(x) - wanted).max() < 0.05
    again = ig.quantize(loaded, x, "int16x8", plan=q.plan)
    np.testing.assert_array_equal(again.lower().run(x), q.lower().run(x))


@pytest.mark.parametrize("number", [-100.0, -1e9])
def test_masks_do_not_stop_coarse_formats(number: float) -> None:
    """A constant that masks has no format; scales of sums with operands that have one avoid ties there."""

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Linear(6, 6), torch.nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            keep = torch.ones(6, 6).tril().bool()
            return self.last(self.first(torch.softmax(self.first(x) + torch.where(keep, 0.0, number), -1)))

    torch.manual_seed(1)
    net = Masked().eval()
    x = np.random.default_rng(4).uniform(-1, 1, (32, 2, 6, 6)).astype(np.float32)
    y = ig.quantize(net, x, "w4a4", example_inputs=torch.zeros(1, 2, 6, 6)).lower().run(x)
    with torch.no_grad():
        want = net(torch.from_numpy(x)).numpy()
    assert np.square(y - want).sum() < 0.1 * np.square(want).sum()


def test_a_mask_is_judged_before_rounding_is_learned(tmp_path) -> None:
    """A checkpoint then belongs to the network whose weights are rounded."""

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(torch.softmax(500 * x + torch.where(torch.ones(6, 6).tril().bool(), 0.0, -100.0), -1))

    torch.manual_seed(3)
    net = Masked().eval()
    x = np.random.default_rng(4).uniform(-1, 1, (32, 2, 6, 6)).astype(np.float32)
    settings = {"calibrator": "max", "rounding": "adaround", "iterations": 4, "checkpoint": tmp_path / "rounding"}
    for _ in range(2):  # the second run continues from the checkpoint
        q = ig.quantize(net, x, example_inputs=torch.zeros(1, 2, 6, 6), **settings)
        assert any("can outweigh its -100" in str(step) for step in q.steps)
