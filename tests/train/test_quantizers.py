"""Every quantizer has the grid and the gradient of its paper, learns, and freezes to what it computed."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.number import BIPOLAR, Granularity, IntType, PerChannel, PerGroup, PerTensor, QuantParams, Scheme
from intaglio.plan import Format
from intaglio.train.quantizers.binary import Xnor
from intaglio.train.quantizers.dorefa import DorefaActivation, DorefaWeight
from intaglio.train.quantizers.lsq import Lsq
from intaglio.train.quantizers.pact import Pact
from intaglio.train.quantizers.quantizer import Quantizer
from intaglio.train.quantizers.quantizer_registry import METHODS, quantizer_makers
from intaglio.train.quantizers.tqt import Tqt
from intaglio.train.quantizers.ttq import Ttq
from intaglio.train.quantizers.twn import Twn

SYMMETRIC, ASYMMETRIC, POWER_OF_TWO = Scheme.SYMMETRIC, Scheme.ASYMMETRIC, Scheme.POWER_OF_TWO
ONE, CHANNELS = PerTensor(), PerChannel(0)
INT2N, INT4N = IntType(2, narrow=True), IntType(4, narrow=True)


def form(kind: IntType, scheme: Scheme = SYMMETRIC, per: Granularity = ONE) -> Format:
    return Format(kind, scheme, per)


def numbers(seed: int, *shape: int, spread: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread


def begun(quantizer: Quantizer, x: Tensor) -> Quantizer:
    quantizer.train()(x)
    return quantizer


def backward(quantizer: Quantizer, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """The result and dL/dx, where dL/dy is `given`."""
    leaf = x.clone().requires_grad_()
    y = quantizer(leaf)
    y.backward(given)
    return y.detach(), leaf.grad


# -- LSQ ---------------------------------------------------------------------------------------------------------------


def lsq_sum(x: Tensor, s: float, low: int, high: int, given: Tensor) -> float:
    """sum dL/dy dy/ds of Esser et al. 2020, eq. (3)."""
    total = 0.0
    for v, g in zip((x.double() / s).tolist(), given.double().tolist(), strict=True):
        total += g * (low if v <= low else high if v >= high else round(v) - v)
    return total


def test_lsq_of_power_of_two_scales_changes_them_by_as_many_percent() -> None:
    quantizer = Lsq(form(IntType(4), POWER_OF_TWO), ())
    quantizer.begin_at(QuantParams(IntType(4), np.float32(0.25)))
    x, given = numbers(1, 50), numbers(2, 50, spread=0.01)
    assert float(quantizer.scale_now()) == 0.25
    backward(quantizer, x, given)
    balance, now = 1 / math.sqrt(50 * 7), 0.25 * math.sqrt(0.5)  # the logarithm begins half an octave below
    by_logarithm = 0.25 * math.log(2) * lsq_sum(x, 0.25, -8, 7, given)
    want = math.tanh(balance * by_logarithm / (now * math.log(2)) ** 2)
    assert float(quantizer.scale.grad) == pytest.approx(want, rel=1e-4)


def test_lsq_plus_learns_the_zero_point() -> None:
    """Bhalgat et al. 2020, eq. (6): the gradient of the offset is 1 outside the range; in steps of the grid here."""
    kind = IntType(2, signed=False)
    quantizer = Lsq(form(kind, ASYMMETRIC), ())
    quantizer.begin_at(QuantParams(kind, np.float32(0.5), np.int32(1)))
    x, given = numbers(3, 80), numbers(4, 80)
    backward(quantizer, x, given)
    outside = (x < -0.5) | (x > 1.0)
    want = -(given * outside).sum() * 0.5 / math.sqrt(80 * 3)
    torch.testing.assert_close(quantizer.zero_point.grad, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [IntType(1, signed=False), IntType(2, signed=False)])
def test_few_bits_start_at_the_least_squared_error(kind: IntType) -> None:
    x = numbers(5, 4000).relu()
    quantizer = begun(Lsq(form(kind, ASYMMETRIC), ()), x)

    def error(scale: float) -> float:
        return float(((x / scale).round().clamp(0, kind.qmax) * scale - x).square().mean())

    assert int(quantizer.params().zero_point) == 0
    best = min(map(error, np.linspace(0.02, 4, 400)))
    assert error(float(quantizer.scale_now())) <= 1.05 * best


def test_a_scale_stays_positive_and_reports_its_collapse() -> None:
    quantizer = begun(Lsq(form(IntType(8)), ()), numbers(6, 100))
    first = float(quantizer.scale_now())
    assert not bool(quantizer.collapsed())
    with torch.no_grad():
        quantizer.scale.neg_()
    assert float(quantizer.scale_now()) == first
    assert not bool(quantizer.collapsed())
    with torch.no_grad():
        quantizer.scale.fill_(1e-4)
    assert float(quantizer.scale_now()) == pytest.approx(first / 1024)
    assert bool(quantizer.collapsed())
    backward(quantizer, numbers(6, 100), -numbers(6, 100))  # everything is clipped: the scale should grow
    assert float(quantizer.scale.grad) < 0
    with torch.no_grad():
        quantizer.scale.fill_(float("nan"))
    assert bool(quantizer.collapsed())


@pytest.mark.parametrize("kind", [Lsq, Tqt, Pact])
@pytest.mark.parametrize("size", [1e-5, 1.0, 1e4])
def test_a_step_of_an_optimizer_changes_scales_of_any_size_alike(kind: type[Quantizer], size: float) -> None:
    """Scales of 16 bits are far smaller than a step of Adam; in parts of what they began with, none is."""
    type = IntType(8, signed=False)
    quantizer = kind(form(type, ASYMMETRIC), ())
    quantizer.begin_at(QuantParams(type, np.float32(size / 255), np.int32(0)))
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=1e-2)
    before = quantizer.scale_now()
    for _ in range(3):
        optimizer.zero_grad()
        y = quantizer(2 * size * numbers(38, 200).abs())
        (y.sum() / -size).backward()  # more is better: the range has to grow
        optimizer.step()
    assert 1.01 < float(quantizer.scale_now() / before) < 1.05


@pytest.mark.parametrize("kind", [Lsq, Pact])
def test_a_step_of_sgd_changes_a_scale_as_the_paper_says(kind: type[Quantizer]) -> None:
    """However the parameter counts: d(size) = -lr * (the paper's gradient of the size)."""
    for size in (0.02, 3.0):
        type = IntType(4, signed=False)
        quantizer = kind(form(type, ASYMMETRIC), ())
        quantizer.begin_at(QuantParams(type, np.float32(size / 15), np.int32(0)))
        optimizer = torch.optim.SGD(quantizer.parameters(), lr=1e-3 * size)
        x, given = size * numbers(39, 100).abs() * 1.5, numbers(40, 100)
        backward(quantizer, x, given)
        optimizer.step()
        if kind is Lsq:
            paper = lsq_sum(x, size / 15, 0, 15, given) / math.sqrt(100 * 15)
            want = size / 15 - 1e-3 * size * paper
        else:
            want = (size - 1e-3 * size * float(given[x >= size].sum())) / 15
        assert float(quantizer.scale_now()) == pytest.approx(want, rel=1e-5)


def test_one_channel_of_zeros_is_not_reported_as_a_collapse() -> None:
    quantizer = begun(Lsq(form(INT4N, per=CHANNELS), (3,)), numbers(7, 3, 20))
    with torch.no_grad():
        quantizer.scale[1] = 0
    assert not bool(quantizer.collapsed())
    with torch.no_grad():
        quantizer.scale.fill_(0)
    assert bool(quantizer.collapsed())


@pytest.mark.parametrize("kind", [Lsq, Tqt])
@pytest.mark.parametrize("scheme", [SYMMETRIC, POWER_OF_TWO])
def test_a_scale_learns_the_same_before_and_after_a_constant_factor(kind: type[Quantizer], scheme: Scheme) -> None:
    w, given, factor = numbers(34, 4, 30, spread=0.02), numbers(35, 4, 30, spread=1e-3), torch.tensor([4.0, 1, 0.5, 8])
    steps = np.full(4, 2.0**-8, np.float32)
    plain, scaled = (kind(form(INT4N, scheme, CHANNELS), (4,)) for _ in range(2))
    plain.begin_at(QuantParams(INT4N, steps, granularity=CHANNELS))
    scaled.begin_at(QuantParams(INT4N, steps * factor.numpy(), granularity=CHANNELS))
    for _ in range(3):
        scaled.measured_in(factor)
        seen = []
        for quantizer, x, g in ((plain, w, given), (scaled, w * factor[:, None], given / factor[:, None])):
            optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.01)
            optimizer.zero_grad()
            backward(quantizer, x, g)
            optimizer.step()
            seen.append(quantizer.scale_now())
        torch.testing.assert_close(seen[0] * factor, seen[1], rtol=1e-4, atol=0)
    before = scaled(w * factor[:, None])
    scaled.measured_in(2 * factor)
    torch.testing.assert_close(scaled(2 * w * factor[:, None]), 2 * before)
    fresh = kind(form(INT4N, scheme, CHANNELS), (4,))
    fresh.load_state_dict(scaled.state_dict())
    assert fresh.params() == scaled.params()
    fresh.measured_in(factor)
    assert torch.equal(fresh.eval()(w * factor[:, None]), before)


def test_channels_of_zero_weights_leave_gradients_finite() -> None:
    w = numbers(36, 3, 10)
    w[1] = 0
    for kind in (Lsq, Tqt):
        quantizer = kind(form(INT4N, per=CHANNELS), (3,))
        quantizer.begin_at(QuantParams(INT4N, np.array([0.2, 500.0, 0.2], np.float32), granularity=CHANNELS))
        quantizer.measured_in(torch.tensor([1.0, 0.0, 1e-30]))
        y, by_w = backward(quantizer, w, numbers(37, 3, 10))
        assert (y[1] == 0).all()
        assert by_w.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in quantizer.parameters())
        assert not bool(quantizer.collapsed())
        assert np.isfinite(quantizer.params().scale).all()


# -- TQT ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [SYMMETRIC, POWER_OF_TWO])
def test_the_gradient_of_a_threshold_is_that_of_the_paper(scheme: Scheme) -> None:
    """Jain et al. 2020, section 3: s ln 2 (round(x / s) - x / s, n or p); bounded by tanh, in LSQ's proportion."""
    quantizer = Tqt(form(IntType(4), scheme), ())
    quantizer.begin(numbers(8, 10))
    with torch.no_grad():
        quantizer.log_threshold.add_(torch.log2(1.5 / quantizer.first))
        quantizer.begun.fill_(True)
    s = (2.0 if scheme is POWER_OF_TWO else 1.5) / 8
    assert float(quantizer.scale_now()) == pytest.approx(s)
    x, given = numbers(9, 60), numbers(10, 60, spread=0.01)
    y, by_x = backward(quantizer, x, given)
    torch.testing.assert_close(y, (x / s).round().clamp(-8, 7) * s)
    torch.testing.assert_close(by_x, given * ((x / s >= -8) & (x / s <= 7)))
    by_logarithm = s * math.log(2) * lsq_sum(x, s, -8, 7, given)
    want = math.tanh(by_logarithm / math.sqrt(60 * 7) / (1.5 / 8 * math.log(2)) ** 2)
    assert float(quantizer.log_threshold.grad) == pytest.approx(want, rel=1e-3)


# -- PACT --------------------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_clipping_level_is_that_of_the_paper() -> None:
    """Choi et al. 2018, eq. (2) and (3): 1 where x >= alpha, else 0; of signed data -1 below the lower bound."""
    x, given = numbers(11, 300), numbers(12, 300)
    quantizer = begun(Pact(form(IntType(4, signed=False), ASYMMETRIC), ()), x.relu())
    with torch.no_grad():
        quantizer.alpha.copy_(1.2 / quantizer.first)
    y, by_x = backward(quantizer, x, given)
    torch.testing.assert_close(y, (x.clamp(0, 1.2) * 15 / 1.2).round() * 1.2 / 15)
    torch.testing.assert_close(by_x, given * ((x > 0) & (x < 1.2)))
    torch.testing.assert_close(quantizer.alpha.grad * quantizer.first, given[x >= 1.2].sum(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(quantizer.penalty().detach(), torch.tensor(2e-4 * 1.44))

    signed = begun(Pact(form(IntType(4, narrow=True)), ()), x)
    with torch.no_grad():
        signed.alpha.copy_(0.9 / signed.first)
    backward(signed, x, given)
    want = given[x >= 0.9].sum() - given[x <= -0.9].sum()
    torch.testing.assert_close(signed.alpha.grad * signed.first, want, rtol=1e-4, atol=1e-4)


def test_pact_decides_by_its_first_data_whether_values_are_negative() -> None:
    kind = IntType(8, signed=False)
    assert int(begun(Pact(form(kind, ASYMMETRIC), ()), numbers(13, 99).relu()).params().zero_point) == 0
    assert int(begun(Pact(form(kind, ASYMMETRIC), ()), numbers(13, 99)).params().zero_point) == 128
    calibrated = Pact(form(kind, ASYMMETRIC), ())
    calibrated.begin_at(QuantParams(kind, np.float32(0.1), np.int32(40)))
    assert calibrated.params() == QuantParams(kind, np.float32(0.1), np.int32(40))


# -- DoReFa ------------------------------------------------------------------------------------------------------------


def test_dorefa_follows_the_paper_on_a_grid_with_zero() -> None:
    """Zhou et al. 2016, eq. (9) of weights whose largest is 1: tanh(w) / max|tanh(w)|, on a grid of 2^b - 1 levels."""
    w, given = numbers(14, 200), numbers(15, 200)
    w = w / w.abs().max()
    quantizer = DorefaWeight(form(INT4N), ())
    y, by_w = backward(quantizer, w, given)
    squeezed = torch.tanh(w) / torch.tanh(w.abs()).max()
    torch.testing.assert_close(y, (squeezed * 7).round() / 7)
    torch.testing.assert_close(by_w, given * (1 - torch.tanh(w) ** 2) / math.tanh(1))
    twice, _ = backward(quantizer, 2 * w, given)
    torch.testing.assert_close(twice, 2 * y)  # a folded batch norm scales it as any other weight


def test_a_dorefa_activation_keeps_its_range() -> None:
    kind = IntType(2, signed=False)
    quantizer = begun(DorefaActivation(form(kind, ASYMMETRIC), ()), numbers(16, 500).relu())
    before = quantizer.params()
    x, given = numbers(17, 500), numbers(18, 500)
    _, by_x = backward(quantizer, x, given)
    top = float(before.scale) * 3
    torch.testing.assert_close(by_x, given * ((x >= 0) & (x <= top)))
    assert quantizer.params() == before


# -- TWN, TTQ ----------------------------------------------------------------------------------------------------------


def test_twn_has_the_papers_threshold_and_scale() -> None:
    """Li et al. 2016, eq. (5) and (6)."""
    w, given = numbers(19, 6, 40), numbers(20, 6, 40)
    quantizer = Twn(form(INT2N, per=CHANNELS), (6,))
    y, by_w = backward(quantizer, w, given)
    for row, got in zip(w.numpy(), y.numpy(), strict=True):
        above = np.abs(row) > 0.7 * np.abs(row).mean()
        want = np.abs(row)[above].mean() * np.where(above, np.sign(row), 0)
        np.testing.assert_allclose(got, want, rtol=1e-5)
    assert torch.equal(by_w, given)


def test_ttq_has_the_papers_gradients() -> None:
    """Zhu et al. 2017, eq. (7) and (8), of weights whose largest is 1."""
    w, given = numbers(21, 300), numbers(22, 300)
    w = w / w.abs().max()
    quantizer = begun(Ttq(form(IntType(4, narrow=True)), ()), w)
    with torch.no_grad():
        quantizer.positive.fill_(0.7)
        quantizer.negative.fill_(0.3)
    quantizer.zero_grad()
    y, by_w = backward(quantizer, w, given)
    above, below = w > 0.05, w < -0.05
    torch.testing.assert_close(y, torch.where(above, 0.7, torch.where(below, -0.3, 0.0)))  # 0.1 is the step: 7 and 3
    torch.testing.assert_close(quantizer.positive.grad, given[above].sum(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(quantizer.negative.grad, -given[below].sum(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(by_w, given * torch.where(above, 0.7, torch.where(below, 0.3, 1.0)))


# -- binary ------------------------------------------------------------------------------------------------------------


def test_xnor_has_the_papers_scale_and_gradient() -> None:
    """Rastegari et al. 2016, section 3.1, of weights whose largest is 1: dC/dW = dC/dW~ (1 / n + alpha 1[|W| <= 1])."""
    w, given = numbers(23, 4, 30), numbers(24, 4, 30)
    w = w / w.abs().amax(1, keepdim=True)
    y, by_w = backward(Xnor(form(BIPOLAR, per=CHANNELS), (4,)), w, given)
    alpha = w.abs().mean(1, keepdim=True)
    torch.testing.assert_close(y, alpha * torch.where(w >= 0, 1.0, -1.0))
    torch.testing.assert_close(by_w, given * (1 / 30 + alpha))


def test_a_learned_binary_scale_has_the_gradient_of_its_sign() -> None:
    w, given = numbers(25, 4, 30), numbers(26, 4, 30)
    quantizer = begun(Lsq(form(BIPOLAR, per=CHANNELS), (4,)), w)
    y, by_w = backward(quantizer, w, given)
    size = w.abs().mean(1)
    torch.testing.assert_close(y, size[:, None] * torch.where(w >= 0, 1.0, -1.0))
    by_scale = (given * torch.where(w >= 0, 1.0, -1.0)).sum(1)
    torch.testing.assert_close(quantizer.scale.grad * quantizer.first, by_scale / math.sqrt(30), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(by_w, given * (w.abs() <= size[:, None]))


# -- all of them -------------------------------------------------------------------------------------------------------

FORMATS = {
    "twn": (INT2N, IntType(2)),
    "ttq": (IntType(3, narrow=True), INT4N),
    "xnor": (BIPOLAR,),
    "dorefa": (INT2N, INT4N, IntType(8, narrow=True)),
}
USUAL = (INT2N, INT4N, IntType(8, narrow=True), BIPOLAR)
WEIGHTS = [(method, kind) for method in METHODS for kind in FORMATS.get(method, USUAL)]


def weight_quantizer(method: str, kind: IntType, scheme: Scheme, per: Granularity, size: tuple[int, ...]) -> Quantizer:
    return METHODS[method][0](Format(kind, scheme, per), per.param_shape(size))


@pytest.mark.parametrize("per", [ONE, CHANNELS, PerGroup(1, 4)])
@pytest.mark.parametrize("scheme", [SYMMETRIC, POWER_OF_TWO])
@pytest.mark.parametrize(("method", "kind"), WEIGHTS)
def test_frozen_weights_equal_the_trained_ones(method: str, kind: IntType, scheme: Scheme, per: Granularity) -> None:
    w = numbers(27, 5, 10, 3)
    quantizer = weight_quantizer(method, kind, scheme, per, tuple(w.shape))
    begun(quantizer, w)
    backward(quantizer, w, numbers(28, *w.shape))
    with torch.no_grad():
        for parameter in quantizer.parameters():
            parameter += 0.03 * parameter.abs()
    quantizer.eval()
    with torch.no_grad():
        want = quantizer(w)
        constant = quantizer.frozen(w)
    params = quantizer.params()
    np.testing.assert_allclose(params.fake_quantize(constant.numpy()), want.numpy(), rtol=1e-5, atol=1e-7)
    assert len(np.unique(want[0].numpy())) > 1
    if scheme is POWER_OF_TWO:
        assert (np.log2(params.scale) % 1 == 0).all()


@pytest.mark.parametrize(("method", "kind"), WEIGHTS)
def test_weights_learn(method: str, kind: IntType) -> None:
    """A linear layer fits what another one computes: its loss falls, its scales move."""
    x, teacher = numbers(29, 256, 12), numbers(30, 12, 6)
    w = torch.nn.Parameter(numbers(31, 6, 12, spread=0.5))
    quantizer = weight_quantizer(method, kind, SYMMETRIC, CHANNELS, (6, 12))
    optimizer = torch.optim.Adam([w, *quantizer.parameters()], lr=0.02)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (x @ quantizer(w).T - x @ teacher).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) == 1:
            before = quantizer.scale_now().clone()
    assert losses[-1] < 0.6 * losses[0]
    assert (quantizer.scale_now() != before).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [IntType(1, signed=False), IntType(2, signed=False), IntType(8, signed=False)])
def test_activations_learn(method: str, kind: IntType) -> None:
    """A layer behind a rounded activation fits; ranges move, except DoReFa's, which nobody learns."""
    x = numbers(32, 256, 16)
    quantizer = METHODS[method][1](form(kind, ASYMMETRIC), ())
    first, second = torch.nn.Linear(16, 24), torch.nn.Linear(24, 1)
    with torch.no_grad():
        for parameter, seed in zip((*first.parameters(), *second.parameters()), range(4), strict=True):
            parameter.copy_(numbers(40 + seed, *parameter.shape, spread=0.3))
    y = x[:, :1].abs() + x[:, 1:2]
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters(), *quantizer.parameters()], lr=0.01)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (second(quantizer(first(x).relu())) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) == 1:
            before = quantizer.scale_now().clone()
    assert losses[-1] < 0.6 * losses[0]
    assert bool(quantizer.scale_now() == before) == (method == "dorefa")
    params = quantizer.params()
    quantizer.eval()
    with torch.no_grad():
        rounded = quantizer(x)
    np.testing.assert_allclose(params.fake_quantize(x.numpy()), rounded.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_copies_and_state_dicts_hold_everything(method: str) -> None:
    kind = FORMATS.get(method, (INT4N,))[-1]
    w = numbers(33, 6, 12)
    quantizer = begun(weight_quantizer(method, kind, SYMMETRIC, CHANNELS, (6, 12)), w)
    with torch.no_grad():
        for parameter in quantizer.parameters():
            parameter *= 1.1
    quantizer.hold(w, 0.5)
    fresh = weight_quantizer(method, kind, SYMMETRIC, CHANNELS, (6, 12))
    fresh.load_state_dict(quantizer.state_dict())
    for other in (copy.deepcopy(quantizer), fresh):
        assert torch.equal(other.eval()(w * 0.9), quantizer.eval()(w * 0.9))
        assert other.params() == quantizer.params()


def test_methods_for_few_bits_leave_wider_weights_to_lsq() -> None:
    for method in ("twn", "ttq", "xnor"):
        assert type(METHODS[method][0](form(IntType(8)), ())) is Lsq
    assert type(METHODS["ttq"][0](form(INT2N), ())) is Lsq


def test_an_unknown_method_is_refused_with_the_known_names() -> None:
    with pytest.raises(
        UsageError, match=r"weight_method: expected one of range, lsq, tqt, pact, dorefa, twn, ttq, xnor"
    ):
        quantizer_makers("magic", "weight_method")
