"""GPTQ: what its columns give against all codes that there are, and against rounding to nearest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from intaglio.errors import UsageError
from intaglio.recover.gptq import GptqSettings, _factor_of_inverse, output_error, round_columns

torch.set_num_threads(1)


def problem_of(rng, inputs, outputs, bits, groups=1, samples=200):
    """Correlated inputs; (steps, scale, low, high, hessian), float64."""
    x = torch.as_tensor(rng.normal(size=(groups, samples, inputs)) @ rng.normal(size=(groups, inputs, inputs)))
    weight = torch.as_tensor(rng.normal(size=(groups, inputs, outputs)))
    largest = 2.0 ** (bits - 1) - 1
    scale = (weight.abs().amax(1, keepdim=True) / largest).expand_as(weight).contiguous()
    high = torch.full_like(weight, largest)
    return weight / scale, scale, -high, high, torch.bmm(x.transpose(1, 2), x) / samples


def brute_force(steps, scale, high, hessian):
    """The smallest error of one output over all codes."""
    codes = [range(-int(high), int(high) + 1)] * steps.shape[1]
    grid = torch.tensor(list(itertools.product(*codes)), dtype=torch.float64).T[None]
    return float(output_error((grid - steps) * scale[:, :, :1], hessian).min())


def test_close_to_the_best_of_all_codes(rng):
    light = GptqSettings(damping=1e-9)
    best = got = nearest = 0.0
    for _ in range(40):
        steps, scale, low, high, hessian = problem_of(rng, 5, 1, 3)
        optimum = brute_force(steps, scale, 3, hessian)
        error = float(output_error((round_columns(steps, scale, low, high, hessian, light) - steps) * scale, hessian))
        plain = float(output_error((steps.round().clamp(low, high) - steps) * scale, hessian))
        assert optimum <= error * (1 + 1e-9)  # nothing beats the optimum
        assert error <= plain * (1 + 1e-9)
        best, got, nearest = best + optimum, got + error, nearest + plain
    # greedy: it has closed more than half of the way
    assert got - best < 0.5 * (nearest - best)


def test_two_inputs_by_hand():
    """x = (1, 1): only the sum counts. 0.4 + 0.4 is nearest to 1 + 0 (or 0 + 1), not to 0 + 0."""
    steps = torch.tensor([[[0.4], [0.4]]], dtype=torch.float64)
    one = torch.ones_like(steps)
    codes = round_columns(steps, one, -4 * one, 4 * one, torch.ones(1, 2, 2).double(), GptqSettings(damping=1e-6))
    assert float(codes.sum()) == 1


def test_independent_inputs_are_rounded_to_nearest(rng):
    steps, scale, low, high, _ = problem_of(rng, 12, 4, 4)
    hessian = torch.diag(torch.as_tensor(rng.uniform(0.1, 3, size=12)))[None]
    assert torch.equal(round_columns(steps, scale, low, high, hessian, GptqSettings()), steps.round().clamp(low, high))


@pytest.mark.parametrize("columns", [1, 7, 128])
def test_lazy_blocks_of_columns_change_nothing(columns, rng):
    steps, scale, low, high, hessian = problem_of(rng, 30, 5, 4, groups=3)
    want = round_columns(steps, scale, low, high, hessian, GptqSettings(columns=30))
    assert torch.equal(round_columns(steps, scale, low, high, hessian, GptqSettings(columns=columns)), want)


def test_groups_are_problems_of_their_own(rng):
    steps, scale, low, high, hessian = problem_of(rng, 9, 2, 4, groups=4)
    whole = round_columns(steps, scale, low, high, hessian, GptqSettings())
    for g in range(4):
        one = (x[g : g + 1] for x in (steps, scale, low, high, hessian))
        assert torch.equal(round_columns(*one, GptqSettings()), whole[g : g + 1])


def test_a_column_that_is_never_fed_and_a_singular_hessian(rng):
    steps, scale, low, high, hessian = problem_of(rng, 8, 3, 4, samples=3)  # rank 3
    hessian[:, 2] = hessian[:, :, 2] = 0
    codes = round_columns(steps, scale, low, high, hessian, GptqSettings())
    assert torch.isfinite(codes).all()
    assert torch.equal(codes[:, 2], steps[:, 2].round().clamp(low[:, 2], high[:, 2]))
    nothing = torch.zeros_like(hessian)
    assert torch.equal(round_columns(steps, scale, low, high, nothing, GptqSettings()), steps.round().clamp(low, high))


def test_the_factor_is_that_of_the_inverse(rng):
    a = rng.normal(size=(2, 6, 6))
    hessian = torch.as_tensor(a @ a.transpose(0, 2, 1) + np.eye(6))
    upper = _factor_of_inverse(hessian)
    torch.testing.assert_close(upper, upper.triu())
    torch.testing.assert_close(upper.transpose(1, 2) @ upper, torch.linalg.inv(hessian))


def test_invalid_settings_are_refused():
    with pytest.raises(UsageError, match="expected a damping above 0 and at least 1 column and 1 position, got 0, 128"):
        GptqSettings(damping=0)
