"""Each calibrator against its definition, on activations (histogram) and on weights (elements)."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from intaglio.calibrate import CALIBRATORS, Needs, parse_calibrator
from intaglio.calibrate.calibrators.entropy import divergence
from intaglio.calibrate.calibrators.mse import _integral
from intaglio.calibrate.calibrators.percentile import Percentile
from intaglio.calibrate.calibrators.sigma import Sigma
from intaglio.calibrate.statistics.record import Record
from intaglio.errors import UsageError
from intaglio.number import BIPOLAR, INT8, INT8_NARROW, INT16, UINT8, IntType, PerChannel, Scheme, choose_params
from intaglio.plan import Format

SYMMETRIC = Format(INT8, Scheme.SYMMETRIC)
ASYMMETRIC = Format(UINT8, Scheme.ASYMMETRIC)
POWER = Format(INT8, Scheme.POWER_OF_TWO)
FORMATS = (
    SYMMETRIC,
    ASYMMETRIC,
    POWER,
    Format(INT8, Scheme.ASYMMETRIC),
    Format(UINT8, Scheme.SYMMETRIC),
    Format(IntType(4, narrow=True), Scheme.SYMMETRIC),
    Format(IntType(4, signed=False), Scheme.ASYMMETRIC),
    Format(IntType(2), Scheme.SYMMETRIC),
    Format(INT16, Scheme.SYMMETRIC),
)


def record_of(x: np.ndarray) -> Record:
    record = Record.empty(Needs.HISTOGRAM | Needs.MOVING)
    record.add(torch.from_numpy(np.asarray(x, np.float32)), 0, 1)
    return record


def error_of(x: np.ndarray, low: float, high: float, fmt: Format) -> float:
    """Mean squared error of quantizing the data themselves."""
    params = choose_params(low, high, fmt.type, fmt.scheme)
    return float(np.square(params.fake_quantize(x).astype(np.float64) - x).mean())


def smallest_error(x: np.ndarray, fmt: Format) -> float:
    """By trying many ranges; both ends on their own."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    ratios = np.geomspace(1, 0.02, 60)
    if fmt.scheme is Scheme.ASYMMETRIC:
        pairs = [(low * a, high * b) for a in ratios for b in ratios]
    else:
        bound = max(-low, high)
        fine = np.geomspace(1, 0.02, 400)
        pairs = [(max(low, -bound * r), min(high, bound * r)) for r in fine]
    return min(error_of(x, a, b, fmt) for a, b in pairs)


@given(
    hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from(list(CALIBRATORS)),
    st.sampled_from(FORMATS),
)
@settings(max_examples=300, deadline=None)
def test_ranges_are_defined_and_within_the_data(x: np.ndarray, name: str, fmt: Format) -> None:
    calibrator = CALIBRATORS[name]
    low, high = calibrator.range(record_of(x), fmt)
    least, most = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    assert least <= low <= high <= most
    choose_params(low, high, fmt.type, fmt.scheme)
    lows, highs = calibrator.ranges(np.stack([x, -x]), fmt)
    assert lows.shape == highs.shape == (2,)
    assert (lows <= highs).all()
    assert (lows >= [least, -most]).all()
    assert (highs <= [most, -least]).all()


@given(
    st.floats(2.0**-20, 2.0**20, width=32),
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from(list(CALIBRATORS)),
    st.sampled_from(FORMATS),
)
@settings(max_examples=300, deadline=None)
def test_data_that_hardly_differ_are_in_range(
    c: float, ulps: list[int], negative: bool, name: str, fmt: Format
) -> None:
    x = (np.float32(c).view(np.int32) + np.array(ulps, np.int32)).view(np.float32) * np.float32(-1 if negative else 1)
    low, high = CALIBRATORS[name].range(record_of(x), fmt)
    assert low <= high
    width = record_of(x).histogram.width  # type: ignore[union-attr]
    # The bin of the data is known to one width and the error on it to another; the search for the smallest error stops
    # within two steps, since the lowest code of a negative c may lie a step beyond the bound.
    step = 2 * c / (fmt.type.qmax - fmt.type.qmin)
    assert abs(max(-low, high) - c) <= 2 * width + (2 * step if name == "mse" else 1e-5 * c)
    low, high = (a[0] for a in CALIBRATORS[name].ranges(x[np.newaxis], fmt))
    assert low <= high
    # Of powers of two the one with the smallest error may end a little below c: 127 * 8 for 1017.
    assert abs(max(-low, high) - c) <= (step if name == "mse" else 1e-5 * c)


def test_max_is_the_extremes(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 100)).astype(np.float32)
    assert CALIBRATORS["max"].range(record_of(x), ASYMMETRIC) == (x.min(), x.max())
    low, high = CALIBRATORS["max"].ranges(x, SYMMETRIC)
    np.testing.assert_array_equal(low, x.min(axis=1))
    np.testing.assert_array_equal(high, x.max(axis=1))


def keeps(x: np.ndarray, threshold: float, cut: float, width: float) -> bool:
    """Whether the share of x beyond a threshold is `cut`, as closely as bins of that width can tell."""
    return bool(np.mean(x > threshold + width) <= cut <= np.mean(x >= threshold - width))


@pytest.mark.parametrize("percent", [99.99, 99.9, 99.0, 75.0])
def test_percentile_keeps_its_share(rng: np.random.Generator, percent: float) -> None:
    x = rng.standard_t(4, 100_000).astype(np.float32)
    record, cut = record_of(x), 1 - percent / 100
    assert record.histogram is not None
    width = record.histogram.width
    low, high = Percentile(percent).range(record, SYMMETRIC)
    assert keeps(np.abs(x), high, cut, width)
    assert low == max(-high, x.min())
    low, high = Percentile(percent).range(record, ASYMMETRIC)
    assert keeps(x, high, cut / 2, width)
    assert keeps(-x, -low, cut / 2, width)
    # Data on one side of 0 lose their share at the far end only.
    low, high = Percentile(percent).range(record_of(np.abs(x)), ASYMMETRIC)
    assert low == np.abs(x).min()
    assert keeps(np.abs(x), high, cut, width)
    low, high = Percentile(percent).range(record_of(-np.abs(x)), ASYMMETRIC)
    assert high == -np.abs(x).min()
    assert keeps(np.abs(x), -low, cut, width)


def test_percentile_of_weights_is_that_of_each_channel(rng: np.random.Generator) -> None:
    w = rng.normal(size=(4, 1000)).astype(np.float32)
    low, high = Percentile(99.0).ranges(w, SYMMETRIC)
    np.testing.assert_allclose(high, np.percentile(np.abs(w).astype(float), 99, axis=1))
    np.testing.assert_allclose(low, -high)
    low, high = Percentile(99.0).ranges(w, ASYMMETRIC)
    np.testing.assert_allclose(np.stack([low, high]), np.percentile(w.astype(float), [0.5, 99.5], axis=1))


def test_sigma_is_mean_and_deviation_within_the_extremes(rng: np.random.Generator) -> None:
    x = rng.normal(1.0, 2.0, 50_000).astype(np.float32)
    low, high = Sigma(2).range(record_of(x), ASYMMETRIC)
    np.testing.assert_allclose((low, high), (x.mean() - 2 * x.std(), x.mean() + 2 * x.std()), atol=0.02)
    flat = rng.uniform(-1, 1, 50_000).astype(np.float32)
    assert Sigma(3).range(record_of(flat), ASYMMETRIC) == (flat.min(), flat.max())
    low, high = Sigma(2).ranges(x.reshape(2, -1), SYMMETRIC)
    np.testing.assert_allclose(low, x.reshape(2, -1).mean(1) - 2 * x.reshape(2, -1).std(1), rtol=1e-4)


def test_moving_average_takes_the_samples_one_by_one() -> None:
    record = Record.empty(Needs.MOVING)
    x = torch.tensor([[-1.0, 1.0], [-3.0, 2.0], [-1.0, 4.0]])
    record.add(x, 0, 3)
    low, high = CALIBRATORS["moving-average"].range(record, ASYMMETRIC)
    weights = 0.99**2 + 0.99 + 1
    assert low == pytest.approx((-1 * 0.99**2 - 3 * 0.99 - 1) / weights)
    assert high == pytest.approx((1 * 0.99**2 + 2 * 0.99 + 4) / weights)


@pytest.mark.parametrize("samples", [1, 3, 5, 100])
def test_moving_average_of_a_value_that_never_changes_is_that_value(samples: int) -> None:
    record = Record.empty(Needs.MOVING)
    record.add(torch.full((samples, 2), 0.1), 0, samples)
    assert CALIBRATORS["moving-average"].range(record, ASYMMETRIC) == (record.low, record.high)


def test_rounding_error_integral_is_exact() -> None:
    """Against a sum over the pieces between rounding thresholds, in fractions."""

    def exact(t: Fraction, scale: Fraction, first: int, last: int) -> Fraction:
        total, at, sign = Fraction(0), Fraction(0), 1 if t >= 0 else -1
        while at != t:
            code = min(
                max(round(at / scale) if at % scale != scale / 2 else math.floor(at / scale) + (sign > 0), first), last
            )
            edge = code * scale + sign * scale / 2
            outside = code == (last if sign > 0 else first)
            to = t if outside or abs(edge) >= abs(t) else edge
            c = code * scale
            total += ((to - c) ** 3 - (at - c) ** 3) / 3
            at = to
        return total

    scale, first, last = Fraction(1, 4), -3, 5
    points = [Fraction(n, 64) for n in range(-130, 131, 7)]
    want = [float(exact(t, scale, first, last)) for t in points]
    got = _integral(np.array([float(t) for t in points]), np.array([[0.25]]), np.array([[first]]), np.array([[last]]))
    np.testing.assert_allclose(got[0], want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("kind", ["normal", "relu", "heavy", "lopsided", "uniform"])
def test_mse_finds_the_smallest_error(rng: np.random.Generator, fmt: Format, kind: str) -> None:
    x = {
        "normal": rng.normal(size=3000),
        "relu": np.maximum(rng.normal(size=3000), 0),
        "heavy": rng.standard_t(2.5, 3000),
        "lopsided": np.where(rng.random(3000) < 0.01, -20 * rng.random(3000), rng.normal(size=3000)),
        "uniform": rng.uniform(-0.2, 3, 3000),
    }[kind].astype(np.float32)
    calibrator = CALIBRATORS["mse"]
    best = smallest_error(x, fmt)
    assert error_of(x, *calibrator.range(record_of(x), fmt), fmt) <= 1.1 * best
    low, high = calibrator.ranges(x[np.newaxis], fmt)
    assert error_of(x, float(low[0]), float(high[0]), fmt) <= 1.1 * best
    # Never worse than not clipping at all.
    assert error_of(x, float(low[0]), float(high[0]), fmt) <= error_of(x, float(x.min()), float(x.max()), fmt) * (
        1 + 1e-6
    )


def test_mse_of_power_of_two_scales_gives_powers_of_two(rng: np.random.Generator) -> None:
    w = (rng.standard_t(3, (16, 200)) * rng.uniform(0.01, 10, (16, 1))).astype(np.float32)
    fmt = Format(INT8_NARROW, Scheme.POWER_OF_TWO, PerChannel(0))
    low, high = CALIBRATORS["mse"].ranges(w, fmt)
    scale = choose_params(low, high, fmt.type, fmt.scheme, fmt.granularity).scale
    top = choose_params(w.min(1), w.max(1), fmt.type, fmt.scheme, fmt.granularity).scale
    for channel, (got, most) in enumerate(zip(scale, top, strict=True)):
        errors = {}
        for k in range(7):
            s = most * 2.0**-k
            q = np.clip(np.rint(w[channel] / s), -127, 127)
            errors[s] = np.square(q * s - w[channel]).sum()
        assert got == min(errors, key=errors.__getitem__)


def divergence_by_definition(mass: list[float], codes: list[int], first: int, last: int) -> float:
    inside = [i for i, c in enumerate(codes) if first <= c <= last]
    if not inside:
        return math.inf
    p = {i: mass[i] for i in inside}
    p[inside[0]] += sum(m for m, c in zip(mass, codes, strict=True) if c < first)
    p[inside[-1]] += sum(m for m, c in zip(mass, codes, strict=True) if c > last)
    q = {}
    for i in inside:
        same = [j for j in inside if codes[j] == codes[i]]
        q[i] = sum(mass[j] for j in same) / len(same)
    return sum(p[i] * math.log(p[i] / q[i]) - p[i] + q[i] for i in inside) / sum(mass)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.data())
@settings(max_examples=200, deadline=None)
def test_divergence_follows_its_definition(mass: list[int], data) -> None:
    rows = [sorted(data.draw(st.lists(st.integers(-6, 6), min_size=len(mass), max_size=len(mass)))) for _ in range(3)]
    bounds = [sorted(data.draw(st.tuples(st.integers(-7, 7), st.integers(-7, 7)))) for _ in range(3)]
    got = divergence(np.array(mass, float), np.array(rows, float), np.array(bounds)[:, :1], np.array(bounds)[:, 1:])
    want = [divergence_by_definition(mass, row, *bound) for row, bound in zip(rows, bounds, strict=True)]
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    assert (got > -1e-12).all()


@pytest.mark.parametrize("fmt", FORMATS[:3], ids=str)
@pytest.mark.parametrize("name", list(CALIBRATORS))
@pytest.mark.parametrize("kind", ["far from 0", "few", "spike at the near end", "spike", "two values", "negative"])
def test_no_calibrator_clips_most_of_the_data(rng: np.random.Generator, name: str, fmt: Format, kind: str) -> None:
    """Candidate ranges that hold next to nothing must not look free: data in which the bin next to 0 is a single one,
    holds most of what is inside, or lies far from 0."""
    x = {
        "far from 0": rng.uniform(5, 10, 4000),
        "few": rng.uniform(3, 6, 64),
        "spike at the near end": 5 + np.maximum(rng.normal(size=4000), 0) * 2,
        "spike": np.concatenate([np.full(1600, 4.0), rng.uniform(3.9, 4, 4), rng.uniform(4, 9, 2400)]),
        "two values": rng.choice([3.0, 9.0], 500),
        "negative": -rng.uniform(5, 10, 4000),
    }[kind].astype(np.float32)
    for low, high in (
        CALIBRATORS[name].range(record_of(x), fmt),
        [float(a[0]) for a in CALIBRATORS[name].ranges(x[np.newaxis], fmt)],
    ):
        clipped = np.clip(x, min(low, 0), max(high, 0)) != x
        assert np.square(np.clip(x, min(low, 0), max(high, 0)) - x).mean() < 0.01 * np.square(x).mean(), (low, high)
        assert clipped.mean() < 0.2, (low, high)


@pytest.mark.parametrize("fmt", [SYMMETRIC, ASYMMETRIC], ids=str)
def test_entropy_clips_rare_outliers_and_nothing_else(rng: np.random.Generator, fmt: Format) -> None:
    bulk = rng.normal(size=200_000)
    outliers = np.append(bulk, [40.0] * 20 + [-35.0] * 20).astype(np.float32)
    low, high = CALIBRATORS["entropy"].range(record_of(outliers), fmt)
    assert 2.5 < high < 12
    assert -12 < low < -2.5
    flat = rng.uniform(-1, 1, 200_000).astype(np.float32)
    low, high = CALIBRATORS["entropy"].range(record_of(flat), fmt)
    assert high > 0.97
    assert low < -0.97


def test_entropy_of_an_asymmetric_format_clips_one_end_alone(rng: np.random.Generator) -> None:
    x = np.append(np.abs(rng.normal(size=100_000)), [-60.0] * 10).astype(np.float32)
    low, high = CALIBRATORS["entropy"].range(record_of(x), ASYMMETRIC)
    assert low > -30
    assert high > 2.5


def test_entropy_does_not_see_zeros(rng: np.random.Generator) -> None:
    x = np.abs(rng.standard_t(4, 50_000)).astype(np.float32)
    x = x[x > 0.05]
    alone = CALIBRATORS["entropy"].range(record_of(x), SYMMETRIC)
    drowned = CALIBRATORS["entropy"].range(record_of(np.append(x, np.zeros(1_000_000, np.float32))), SYMMETRIC)
    assert alone[1] == drowned[1]


def test_wide_formats_clip_hardly_anything(rng: np.random.Generator) -> None:
    x = rng.normal(size=50_000).astype(np.float32)
    for name in ("mse", "entropy"):
        low, high = CALIBRATORS[name].range(record_of(x), Format(INT16, Scheme.SYMMETRIC))
        assert max(-low, high) > 0.95 * np.abs(x).max()


def test_names_are_read_back() -> None:
    for name, calibrator in CALIBRATORS.items():
        assert parse_calibrator(name) is calibrator
        assert calibrator.name == name
    assert {"max", "moving-average", "entropy", "mse", "sigma-2", "sigma-3", "percentile-99.9999"} <= set(CALIBRATORS)
    assert parse_calibrator("percentile-99.5") == Percentile(99.5)
    assert parse_calibrator("sigma-2.5").name == "sigma-2.5"
    assert parse_calibrator(Sigma(4)) == Sigma(4)


@pytest.mark.parametrize(
    "name", ["maximum", "percentile", "percentile-101", "percentile-10", "sigma-0", "", "percentil-99.9"]
)
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    with pytest.raises(UsageError, match=r"calibrator: expected auto or one of max, moving-average, percentile-99\.9,"):
        parse_calibrator(name)


def test_a_slip_of_the_pen_is_recognised() -> None:
    with pytest.raises(UsageError, match=r"got 'entropie'; did you mean entropy\?"):
        parse_calibrator("entropie")


@pytest.mark.parametrize("scheme", [Scheme.SYMMETRIC, Scheme.POWER_OF_TWO])
def test_the_best_scale_of_signs_is_the_mean_magnitude(scheme, rng) -> None:
    """XNOR-Net, eq. (6); of powers of two the one with the smallest error."""
    rows = rng.normal(0.1, rng.uniform(0.01, 30, (40, 1)), (40, 27)).astype(np.float32)
    fmt = Format(BIPOLAR, scheme, PerChannel(0))
    low, high = CALIBRATORS["mse"].ranges(rows, fmt)
    scale = choose_params(low, high, BIPOLAR, scheme, PerChannel(0)).scale.astype(np.float64)
    tried = np.exp2(np.arange(-12, 8)) if scheme is Scheme.POWER_OF_TWO else np.geomspace(0.003, 60, 4000)
    for row, found in zip(rows.astype(np.float64), scale, strict=True):
        errors = [np.square(row - s * np.where(row >= 0, 1, -1)).sum() for s in tried]
        assert np.square(row - found * np.where(row >= 0, 1, -1)).sum() <= min(errors) * (1 + 1e-5)
    if scheme is Scheme.SYMMETRIC:
        np.testing.assert_allclose(scale, np.abs(rows).mean(1), rtol=1e-6)


def test_ternary_scales_are_no_worse_than_those_of_ternary_weight_networks(rng) -> None:
    """Li et al., eq. (5)-(6): threshold 0.7 mean |w|, scale the mean of |w| above it; ours is half the scale."""
    rows = rng.normal(0, 1, (64, 144)).astype(np.float32)
    fmt = Format(IntType(2, narrow=True), Scheme.SYMMETRIC, PerChannel(0))
    found = choose_params(*CALIBRATORS["mse"].ranges(rows, fmt), fmt.type, fmt.scheme, PerChannel(0))
    ours = np.square(found.fake_quantize(rows) - rows).sum(1)
    large = np.abs(rows) > 0.7 * np.abs(rows).mean(1, keepdims=True)
    alpha = (np.abs(rows) * large).sum(1, keepdims=True) / large.sum(1, keepdims=True)
    theirs = np.square(alpha * np.sign(rows) * large - rows).sum(1)
    assert (ours <= 1.02 * theirs).all()
    assert ours.mean() <= theirs.mean()
