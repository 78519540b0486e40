"""Which of two networks has less noise, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from intaglio.calibrate.noise_by_sample import MOST, STUDENT, NoiseBySample


def measured(*errors: list[float], batch: int | None = None) -> NoiseBySample:
    """Outputs "0", "1"...: what float gives has mean 0 and power 1; the error of each sample is given."""
    found = NoiseBySample([str(k) for k in range(len(errors))])
    n = len(errors[0])
    step = batch or n
    for start in range(0, n, step):
        some = [torch.tensor(e[start : start + step]).double() for e in errors]
        y = {str(k): torch.tensor([[1.0, -1.0]] * len(e)) for k, e in enumerate(some)}
        got = {str(k): y[str(k)] + torch.stack([e, e], 1) for k, e in enumerate(some)}
        found.add(len(some[0]), y, got)
    return found


def test_sqnr_is_that_of_all_samples_however_they_come() -> None:
    errors = [0.1, 0.2, 0.3, 0.0, 0.5]
    for batch in (1, 2, 5):
        found = measured(errors, batch=batch)
        assert found.samples == 5
        assert found.sqnr == pytest.approx(-10 * math.log10(np.square(errors).mean()))
    two = measured(errors, [0.1] * 5)
    assert two.sqnr == pytest.approx((measured(errors).sqnr + 20) / 2)


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
    silent = NoiseBySample(["y"])
    silent.add(2, {"y": torch.zeros(2, 3)}, {"y": torch.zeros(2, 3)})
    assert silent.sqnr == MOST
    silent.add(1, {"y": torch.tensor(0.0)}, {"y": torch.tensor(0.5)})
    assert silent.sqnr == -MOST


def test_students_factors_fall_towards_the_normal_laws() -> None:
    assert list(STUDENT) == sorted(STUDENT, reverse=True)
    assert STUDENT[-1] > 1.96
