"""Which of two networks has less noise, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from intaglio.evaluation.sqnr import MOST, STUDENT, SignalToNoise


def measured(*errors: list[float], batch: int | None = None) -> SignalToNoise:
    """Outputs "0", "1"...: what float gives has mean 0 and power 1; the error of each sample is given."""
    found = SignalToNoise([str(k) for k in range(len(errors))])
    n = len(errors[0])
    step = batch or n
    for start in range(0, n, step):
        some = [torch.tensor(e[start : start + step]).double() for e in errors]
        y = {str(k): torch.tensor([[1.0, -1.0]] * len(e)) for k, e in enumerate(some)}
        got = {str(k): y[str(k)] + torch.stack([e, e], 1) for k, e in enumerate(some)}
        found.add(y, got, len(some[0]))
    return found


def test_sqnr_is_that_of_all_samples_however_they_come() -> None:
    errors = [0.1, 0.2, 0.3, 0.0, 0.5]
    for batch in (1, 2, 5):
        found = measured(errors, batch=batch)
        assert found.samples == 5
        assert found.sqnr == pytest.approx(-10 * math.log10(np.square(errors).mean()))
    two = measured(errors, [0.1] * 5)
    assert two.sqnr == pytest.approx((measured(errors).sqnr + 20) / 2)


def test_sqnr_by_hand() -> None:
    """Two samples of two elements: mean 4, variance 5; errors 1, 0, 0 and 2."""
    y, q = np.array([[1.0, 3.0], [5.0, 7.0]]), np.array([[2.0, 3.0], [5.0, 5.0]])
    found = SignalToNoise(["y"])
    found.add({"y": y}, {"y": q}, 2)
    assert found.noise.tolist() == [[1.0, 4.0]]
    assert found.sqnr == found.by_value["y"] == pytest.approx(10 * math.log10(20 / 5))
    shifted = SignalToNoise(["y"])
    shifted.add({"y": y + 1000}, {"y": q + 1000}, 2)
    assert shifted.sqnr == pytest.approx(found.sqnr), "a constant is no signal"
    constant = SignalToNoise(["y"])
    constant.add({"y": np.full((2, 3), 7.0)}, {"y": np.full((2, 3), 6.0)}, 2)
    assert constant.sqnr == pytest.approx(10 * math.log10(49))


def test_sums_of_processes_are_those_of_one(rng: np.random.Generator) -> None:
    y = {name: rng.normal(3, 1, (10, 4)) for name in ("a", "b")}
    q = {name: x + rng.normal(0, 0.1, x.shape) for name, x in y.items()}
    whole, parts = SignalToNoise(list(y)), [SignalToNoise(list(y)) for _ in range(2)]
    whole.add(y, q, 10)
    for rank, part in enumerate(parts):
        part.add({n: x[rank::2] for n, x in y.items()}, {n: x[rank::2] for n, x in q.items()}, 5)
    added = SignalToNoise.from_sums(list(y), parts[0].sums() + parts[1].sums())
    assert added.sqnr == pytest.approx(whole.sqnr, abs=1e-9)


def test_equal_and_broken_values_are_told_apart() -> None:
    found = SignalToNoise(["equal", "broken"])
    y = np.array([[1.0, 2.0]])
    found.add({"equal": y, "broken": y}, {"equal": y, "broken": np.array([[np.nan, 2.0]])}, 1)
    assert found.by_value == {"equal": math.inf, "broken": -math.inf}
    assert found.sqnr == 0.0, "the mean of 200 and -200"


def test_gain_and_uncertainty_by_hand() -> None:
    gain, uncertainty = measured([0.1, 0.3]).gain_over(measured([0.2, 0.4]))
    assert gain == pytest.approx(10 * math.log10(0.20 / 0.10))
    a, b = 10 * math.log10(0.16 / 0.09), 10 * math.log10(0.04 / 0.01)
    assert uncertainty == pytest.approx(89.13 * math.sqrt(0.5 * ((a - b) / 2) ** 2 * 2))


def test_what_is_hard_for_both_cancels(rng: np.random.Generator) -> None:
    errors = rng.lognormal(size=20)
    gain, uncertainty = measured(list(errors / 2)).gain_over(measured(list(errors)))
    assert gain == pytest.approx(20 * math.log10(2))
    assert uncertainty < 1e-6


def test_what_a_single_sample_gains_is_uncertain() -> None:
    gain, uncertainty = measured([0.1] * 20).gain_over(measured([0.1] * 19 + [3.0]))
    assert uncertainty > gain > 10


def test_one_sample_tells_nothing_of_others() -> None:
    assert measured([0.1]).gain_over(measured([0.2]))[1] == math.inf


@pytest.mark.parametrize("n", [2, 4, 10, 24])
def test_chance_is_seldom_taken_for_a_gain(n: int) -> None:
    """Errors of one law: the gain is beyond its uncertainty in some 0.4 % of the draws."""
    rng = np.random.default_rng(n)
    draws = 200
    wrong = 0
    for _ in range(draws):
        a, b = (measured(list(rng.uniform(0.5, 1.5, n))) for _ in range(2))
        gain, uncertainty = a.gain_over(b)
        wrong += gain > uncertainty
    assert wrong < 0.03 * draws


def test_extremes_are_bounded_and_defined() -> None:
    exact, broken = measured([0.0] * 4), measured([math.nan, math.inf, 1.0, 1.0])
    assert (exact.sqnr, broken.sqnr) == (MOST, -MOST)
    gain, uncertainty = exact.gain_over(broken)
    assert gain == 2 * MOST > uncertainty
    silent = SignalToNoise(["y"])
    silent.add({"y": torch.zeros(2, 3)}, {"y": torch.zeros(2, 3)}, 2)
    assert silent.sqnr == MOST
    silent.add({"y": torch.tensor(0.0)}, {"y": torch.tensor(0.5)}, 1)
    assert silent.sqnr == -MOST


def test_students_factors_fall_towards_the_normal_laws() -> None:
    assert list(STUDENT) == sorted(STUDENT, reverse=True)
    assert STUDENT[-1] > 1.96
