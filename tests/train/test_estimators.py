"""Every estimator rounds as it says and has the gradient of its paper, written down here once more."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.number import BIPOLAR, IntType
from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.dsq import Dsq
from intaglio.train.estimators.estimator_registry import ESTIMATORS, estimator_makers
from intaglio.train.estimators.grid import Grid
from intaglio.train.estimators.gumbel import Gumbel
from intaglio.train.estimators.proxquant import ProxQuant
from intaglio.train.estimators.stochastic import Stochastic
from intaglio.train.estimators.straight_through import straight_through

INT4, UINT2 = IntType(4), IntType(2, signed=False)


def grid(kind: IntType = INT4, scale: float = 0.3, zero_point: float = 0.0, *, learns: bool = False) -> Grid:
    return Grid(torch.tensor(scale, requires_grad=learns), torch.tensor(zero_point, requires_grad=learns), kind)


def slopes(estimator, x: Tensor, on: Grid) -> np.ndarray:
    """dy/dx of each element."""
    x = x.clone().requires_grad_()
    estimator(x, on).sum().backward()
    return x.grad.numpy()


def numbers(seed: int, *shape: int, spread: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread


# -- clipped -----------------------------------------------------------------------------------------------------------


def plain(x: Tensor, scale: Tensor, zero_point: Tensor, kind: IntType, ties_up: bool) -> Tensor:
    """LSQ's forward pass as PyTorch differentiates it."""
    t = x.float() / (scale.detach() if kind.bipolar else scale)  # y = s sign(x)
    low, high = kind.qmin - zero_point, kind.qmax - zero_point
    inside = torch.minimum(torch.maximum(t, low.expand_as(t)), high.expand_as(t))
    if kind.bipolar:
        codes = torch.where(t >= 0, 1.0, -1.0)
    else:
        codes = torch.floor(t + 0.5) if ties_up else torch.round(t)
        codes = torch.minimum(torch.maximum(codes, low.expand_as(t)), high.expand_as(t))
    return ((inside + (codes - inside).detach()) * scale).to(x.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", ["rows", "channels_last", "strided"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", [IntType(8, signed=False), INT4, UINT2, BIPOLAR])
def test_the_gradients_of_the_fast_path_equal_autograd(
    kind: IntType, per_channel: bool, layout: str, dtype: torch.dtype
) -> None:
    shape = (5, 1, 1) if per_channel else ()
    scale = numbers(1, *shape).abs() * 0.2 + 0.1
    zero_point = torch.zeros(shape) if kind.bipolar else torch.full(shape, float(kind.qmin + 1))
    x = numbers(2, 3, 5, 70, 80).to(dtype)  # more than one piece
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    if layout == "strided":
        x = x[..., ::2]
    given = numbers(3, *x.shape).to(dtype)
    found = []
    for make in (lambda x, s, z: clipped(x, Grid(s, z, kind, True)), lambda x, s, z: plain(x, s, z, kind, True)):
        leaves = [t.clone().requires_grad_() for t in (x, scale, zero_point)]
        y = make(*leaves)
        y.backward(given)
        found.append((y.detach(), *(leaf.grad for leaf in leaves)))
    (y, by_x, by_scale, by_zero), (want, want_x, want_scale, want_zero) = found
    assert torch.equal(y, want)
    assert y.dtype == dtype
    # A quotient on the bound itself passes in both; next to it float32 may differ.
    t = x.float() / scale
    edge = (t - (kind.qmin - zero_point)).abs().minimum((t - (kind.qmax - zero_point)).abs()) < 1e-4
    torch.testing.assert_close(by_x[~edge], want_x[~edge], rtol=1e-5 if dtype == torch.float32 else 0.01, atol=0)
    torch.testing.assert_close(by_scale, want_scale, rtol=2e-3, atol=0.05)
    torch.testing.assert_close(by_zero, want_zero, rtol=2e-3, atol=0.05)


def test_clipped_passes_gradients_on_its_bounds() -> None:
    assert slopes(clipped, torch.tensor([-8.0, 7.0, 7.1, -8.1]), grid(scale=1.0)).tolist() == [1, 1, 0, 0]


# -- straight-through --------------------------------------------------------------------------------------------------


def test_straight_through_passes_gradients_everywhere_and_learns_the_grid_as_clipped() -> None:
    x = numbers(4, 100, spread=3.0)
    assert (slopes(straight_through, x, grid()) == 1).all()
    ours, theirs = grid(learns=True), grid(learns=True)
    straight_through(x, ours).square().sum().backward()
    clipped(x, theirs).square().sum().backward()
    assert torch.equal(ours.scale.grad, theirs.scale.grad)
    assert torch.equal(ours.zero_point.grad, theirs.zero_point.grad)


# -- DSQ ---------------------------------------------------------------------------------------------------------------


def soft_in_the_papers_words(x: float, low: float, high: float, steps: int, alpha: float) -> float:
    """Gong et al. 2019, section 3, in float64: l, u, Delta, i, m_i, s, k, phi."""
    delta = (high - low) / steps
    if x <= low:
        return low
    if x >= high:
        return high
    i = min(int((x - low) / delta), steps - 1)
    middle = low + (i + 0.5) * delta
    k, s = math.log(2 / alpha - 1) / delta, 1 / (1 - alpha)
    phi = s * math.tanh(k * (x - middle))
    return low + delta * (i + (phi + 1) / 2)


@pytest.mark.parametrize("kind", [INT4, BIPOLAR])
@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.45])
def test_dsq_has_the_gradients_of_the_soft_staircase(alpha: float, kind: IntType) -> None:
    scale, h = 0.3, 1e-6
    low, high = kind.qmin * scale, kind.qmax * scale
    steps = 1 if kind.bipolar else kind.qmax - kind.qmin
    x = torch.linspace(low * 1.3, high * 1.3, 41) + 0.011
    estimator = Dsq(alpha)
    want_x = [
        (
            soft_in_the_papers_words(v + h, low, high, steps, alpha)
            - soft_in_the_papers_words(v - h, low, high, steps, alpha)
        )
        / (2 * h)
        for v in x.tolist()
    ]
    np.testing.assert_allclose(slopes(estimator, x, grid(kind, scale)), want_x, rtol=1e-3, atol=1e-4)
    estimator.zero_grad()
    estimator(x, grid(kind, scale)).sum().backward()
    want_alpha = sum(
        soft_in_the_papers_words(v, low, high, steps, alpha + h)
        - soft_in_the_papers_words(v, low, high, steps, alpha - h)
        for v in x.tolist()
    ) / (2 * h)
    assert float(estimator.alpha.grad) == pytest.approx(want_alpha, rel=1e-3, abs=1e-4)


def test_dsq_rounds_exactly_and_learns_its_grid() -> None:
    x = numbers(5, 200)
    on = grid(UINT2, 0.4, 1.0, learns=True)
    y = Dsq()(x, on)
    torch.testing.assert_close(y, clipped(x, grid(UINT2, 0.4, 1.0)), rtol=1e-6, atol=1e-6)
    y.sum().backward()
    outside = ((x / 0.4 < -1) | (x / 0.4 > 2)).sum()
    assert float(on.zero_point.grad) == pytest.approx(-0.4 * float(outside), rel=1e-5)
    assert not Dsq(learned=False).alpha.requires_grad


def test_dsq_recovers_from_an_alpha_out_of_range() -> None:
    estimator = Dsq()
    with torch.no_grad():
        estimator.alpha.fill_(-0.1)
    estimator(numbers(6, 50), grid()).square().sum().backward()
    assert estimator.alpha.grad.isfinite()
    assert float(estimator.alpha.grad) != 0


# -- Gumbel ------------------------------------------------------------------------------------------------------------


def test_gumbel_draws_codes_as_often_as_noise_rounds_to_them() -> None:
    """Louizos et al. 2019, section 2: pi_i = F((g_i + h - t) / sigma) - F((g_i - h - t) / sigma), nearby."""
    sigma, t = 1 / 3, 0.3
    estimator = Gumbel(seed=7, temperature=0.01)
    drawn = (estimator(torch.full((100_000,), t * 0.3), grid()) / 0.3).round()

    def cdf(v: float) -> float:
        return 1 / (1 + math.exp(-v / sigma))

    pi = {code: cdf(code + 0.5 - t) - cdf(code - 0.5 - t) for code in (-1, 0, 1)}
    for code, weight in pi.items():
        assert float((drawn == code).float().mean()) == pytest.approx(weight / sum(pi.values()), abs=0.01)


def test_gumbel_has_the_gradient_of_its_softmax() -> None:
    x, on, h = numbers(8, 60, spread=2.0).double(), grid(UINT2, 0.4, 1.0), 1e-3
    estimator = Gumbel(seed=3)

    def relaxed(x: np.ndarray, log_sigma: float) -> np.ndarray:
        sigma, u = math.exp(log_sigma), uniforms.astype(np.float64)
        t = x[:, None] / np.float64(np.float32(0.4))
        centre = np.clip(np.rint(t), -1, 2)
        codes = centre + np.array([-1, 0, 1])

        def log_cdf(v: np.ndarray) -> np.ndarray:
            return -np.log1p(np.exp(-v / sigma))

        with np.errstate(over="ignore", invalid="ignore"):
            log_pi = log_cdf(codes + 0.5 - t) + log_cdf(t - codes + 0.5)
            log_pi = np.where((codes < -1) | (codes > 2), -np.inf, log_pi)
            z = np.exp(log_pi - np.log(-np.log(u)))
        return (z * codes).sum(-1) / z.sum(-1) * 0.4

    uniforms = Gumbel(seed=3).uniform(x, 3).numpy()
    leaf = x.float().clone().requires_grad_()
    y = estimator(leaf, on)
    y.sum().backward()
    log_sigma, at = math.log(1 / 3), leaf.detach().double().numpy()
    np.testing.assert_allclose(y.detach().numpy(), relaxed(at, log_sigma), atol=1e-4)
    far = np.abs(at / 0.4 - np.floor(at / 0.4) - 0.5) > 0.02  # where the codes nearby are the same on both sides
    want = (relaxed(at + h, log_sigma) - relaxed(at - h, log_sigma)) / (2 * h)
    np.testing.assert_allclose(leaf.grad.numpy()[far], want[far], rtol=0.02, atol=2e-3)
    want = (relaxed(at, log_sigma + h) - relaxed(at, log_sigma - h)).sum() / (2 * h)
    assert float(estimator.log_sigma.grad) == pytest.approx(want, rel=0.02, abs=2e-3)


# -- stochastic --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [INT4, BIPOLAR])
def test_stochastic_rounding_is_right_on_average(kind: IntType) -> None:
    """Gupta et al. 2015, section 3.1: E[round(x)] = x inside the range; Courbariaux et al. 2015, eq. (2) for signs."""
    estimator = Stochastic(seed=1)
    for t in (-0.8, -0.25, 0.0, 0.6, 1.0):
        y = estimator(torch.full((40_000,), t * 0.3), grid(kind)) / 0.3
        assert float(y.mean()) == pytest.approx(t, abs=0.02)
        ends = {-1.0, 1.0} if kind.bipolar else {math.floor(t), math.ceil(t)}
        assert set(y.round().tolist()) <= ends
        torch.testing.assert_close(y, y.round(), rtol=0, atol=1e-5)


def test_stochastic_passes_gradients_as_clipped() -> None:
    x = numbers(9, 300, spread=2.0)
    assert (slopes(Stochastic(), x, grid()) == slopes(clipped, x, grid())).all()


@pytest.mark.parametrize("make", [Stochastic, Gumbel])
def test_random_draws_follow_the_seed_and_resume_from_a_checkpoint(make) -> None:
    x = numbers(10, 1000)
    first, second, other = make(5), make(5), make(6)
    before = first(x, grid())
    assert torch.equal(before, second(x, grid()))
    assert not torch.equal(before, other(x, grid()))
    after = first(x, grid())
    assert not torch.equal(before, after)
    twin = copy.deepcopy(second)
    resumed = make(0)
    resumed.load_state_dict(second.state_dict())
    assert torch.equal(resumed(x, grid()), after)
    assert torch.equal(twin(x, grid()), after)


# -- ProxQuant ---------------------------------------------------------------------------------------------------------


def test_a_proximal_step_is_the_proximal_operator_of_the_distance_to_the_grid() -> None:
    """Bai et al. 2019: argmin over w of (w - x)^2 / 2 + lambda |w - q|, found here by search."""
    estimator, on = ProxQuant(rate=0.2, settled=0.9), grid()
    x = numbers(11, 40)
    steps = 0.2 * 0.5 * 0.3
    tried = torch.linspace(-4, 4, 80_001).double()
    want = []
    for v in x.double():
        q = min(max(round(float(v) / 0.3), -8), 7) * 0.3
        want.append(float(tried[((tried - v) ** 2 / 2 + steps * (tried - q).abs()).argmin()]))
    np.testing.assert_allclose(estimator.pulled(x, on, 0.5).numpy(), want, atol=2e-4)
    assert torch.equal(estimator.pulled(x, on, 0.95), clipped(x, on))
    assert torch.equal(estimator(x, on), x)
    assert (slopes(estimator, x, on) == 1).all()


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_each_estimator_keeps_shape_and_type_and_learns_a_grid(name: str, per_channel: bool) -> None:
    for make in ESTIMATORS[name]:
        for dtype in (torch.float32, torch.bfloat16):
            shape = (4, 1) if per_channel else ()
            on = Grid(torch.full(shape, 0.3, requires_grad=True), torch.zeros(shape), INT4)
            x = numbers(12, 4, 60, spread=2.0).to(dtype).requires_grad_()
            y = make(1)(x, on)
            assert (y.shape, y.dtype) == (x.shape, dtype)
            y.float().square().sum().backward()
            assert x.grad.isfinite().all()
            assert on.scale.grad.abs().min() > 0


def test_an_unknown_estimator_is_refused_with_the_known_names() -> None:
    with pytest.raises(UsageError, match="estimator: expected one of clipped, straight-through, dsq"):
        estimator_makers("magic")
