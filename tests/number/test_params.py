import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.errors import UsageError
from intaglio.number import (
    BIPOLAR,
    INT8,
    INT8_NARROW,
    INT16,
    INT32,
    UINT8,
    IntType,
    PerChannel,
    PerElement,
    PerGroup,
    PerTensor,
    QuantParams,
    Scheme,
    choose_params,
)

TYPES = st.builds(IntType, st.integers(1, 16), st.booleans())
FINITE = st.floats(-1e6, 1e6, width=32)


def scalar(type: IntType, scale: float, zero_point: int = 0) -> QuantParams:
    return QuantParams(type, np.asarray(scale, np.float32), np.asarray(zero_point, np.int32))


def test_quantize_divides_rounds_half_to_even_then_adds_the_zero_point() -> None:
    params = scalar(INT8, 0.5, 3)
    x = [-0.75, -0.25, 0.25, 0.75, 1.25, 1e9, -1e9, math.inf, -math.inf, 0.0]
    assert params.quantize(x).tolist() == [1, 3, 3, 5, 5, 127, -128, 127, -128, 3]
    assert params.quantize(np.float32(1.0)).shape == ()


def test_quantize_does_not_warn_where_the_quotient_overflows() -> None:
    assert scalar(INT8, 1e-37).quantize([3e38, -3e38]).tolist() == [127, -128]


def test_codes_of_biases_are_exact_beyond_24_bits() -> None:
    assert scalar(INT32, 2.0**-8).quantize([(2.0**24 - 1) / 2.0**8 * 1.0, 65536.0 * 127]).tolist() == [
        2**24 - 1,
        127 << 24,
    ]


@given(TYPES, st.integers(-126, 20), st.data())
def test_every_code_survives_the_way_out_and_back(type: IntType, exponent: int, data: st.DataObject) -> None:
    params = scalar(type, 2.0**exponent, data.draw(st.integers(type.qmin, type.qmax)))
    codes = np.arange(type.qmin, type.qmax + 1).astype(type.dtype)
    back = params.quantize(params.dequantize(codes))
    assert back.dtype == type.dtype
    assert np.array_equal(back, codes)


@given(FINITE, FINITE, TYPES, st.sampled_from(Scheme))
def test_chosen_ranges_hold_what_they_were_made_for(a: float, b: float, type: IntType, scheme: Scheme) -> None:
    low, high = min(a, b), max(a, b)
    params = choose_params(low, high, type, scheme)
    step = float(params.scale)
    assert type.qmin <= params.zero_point <= type.qmax
    if type.bits == 1:  # one of two codes is zero: only one sign can be held
        return
    first, last = (float(v) for v in params.range)
    # half a step where the zero point was rounded, and a whole one at the end that symmetric signed types do not have
    slack = (0.51 if scheme is Scheme.ASYMMETRIC else 1.01) * step + 1e-6 * max(abs(low), abs(high))
    assert first <= min(low, 0.0) + slack and last >= max(high, 0.0) - slack
    # real 0 is exact
    assert params.dequantize(params.quantize(0.0)) == 0.0
    if scheme is Scheme.POWER_OF_TWO:
        assert math.frexp(step)[0] == 0.5
    if scheme is not Scheme.ASYMMETRIC and type.signed:
        assert params.symmetric


@given(st.floats(1e-30, 1e30), st.booleans(), TYPES, st.sampled_from([Scheme.SYMMETRIC, Scheme.ASYMMETRIC]))
def test_a_constant_is_exact(c: float, negative: bool, type: IntType, scheme: Scheme) -> None:
    c = -c if negative else c
    if type.bits == 1 and scheme is Scheme.SYMMETRIC:
        return  # its only other code has the wrong sign for one of the two
    got = float(choose_params(c, c, type, scheme).fake_quantize(np.float32(c)))
    assert math.isclose(got, c, rel_tol=4 * 2.0**-23)


@pytest.mark.parametrize("scheme", list(Scheme))
def test_all_zero_has_a_defined_answer(scheme: Scheme) -> None:
    for type in (INT8, UINT8, INT8_NARROW):
        params = choose_params(0.0, 0.0, type, scheme)
        assert float(params.fake_quantize(0.0)) == 0.0
        assert params.scale == 1.0


def test_symmetric_types() -> None:
    assert choose_params(-1.0, 2.54, INT8_NARROW, Scheme.SYMMETRIC).scale == np.float32(2.54 / 127)
    unsigned = choose_params(0.0, 2.55, UINT8, Scheme.SYMMETRIC)
    assert (unsigned.scale, int(unsigned.zero_point)) == (np.float32(0.01), 0)
    middle = choose_params(-1.27, 1.0, UINT8, Scheme.SYMMETRIC)
    assert (middle.scale, int(middle.zero_point)) == (np.float32(0.01), 128)


def test_asymmetric_ranges_are_widened_to_zero() -> None:
    params = choose_params(1.0, 2.55, UINT8, Scheme.ASYMMETRIC)
    assert (params.scale, int(params.zero_point)) == (np.float32(0.01), 0)
    params = choose_params(-2.55, -1.0, UINT8, Scheme.ASYMMETRIC)
    assert (params.scale, int(params.zero_point)) == (np.float32(0.01), 255)


def test_power_of_two_scales_are_rounded_up_so_that_nothing_saturates() -> None:
    params = choose_params(-1.0, 1.0, INT8, Scheme.POWER_OF_TWO)
    assert params.scale == 2.0**-6
    assert choose_params(-127.0, 127.0, INT8, Scheme.POWER_OF_TWO).scale == 1.0


def test_ranges_too_small_for_float32_become_code_zero() -> None:
    params = choose_params(-1e-45, 1e-45, INT8, Scheme.SYMMETRIC)
    assert params.scale >= np.finfo(np.float32).tiny
    assert params.quantize(1e-45) == 0


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (math.nan, 1.0, "expected finite bounds"),
        (-math.inf, 1.0, "expected finite bounds"),
        (1.0, -1.0, "expected low <= high"),
        (-1e300, 1e300, "scale: expected a finite value"),
    ],
)
def test_impossible_ranges_are_refused(low: float, high: float, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        choose_params(low, high, INT8, Scheme.SYMMETRIC)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, 1e-40])
def test_impossible_scales_are_refused_by_index(scale: float) -> None:
    with pytest.raises(UsageError, match=r"scale: expected a finite value of at least 1\.18e-38, got .*\(index 1\)"):
        QuantParams(INT8, np.array([1.0, scale]), np.zeros(2, np.int32), PerChannel(0))


@pytest.mark.parametrize("type", [INT8, UINT8, INT16, BIPOLAR], ids=str)
def test_scales_whose_codes_leave_float32_are_refused_by_index(type: IntType) -> None:
    most = max(-type.qmin, type.qmax)
    largest = np.float32(np.finfo(np.float32).max / most * (1 - 1e-6))
    assert np.isfinite(QuantParams(type, largest).range).all()
    if most > 1:
        with pytest.raises(
            UsageError, match=r"every code of \w+ to stand for a float32, got .*\(index 1\).*scale the data"
        ):
            QuantParams(type, np.array([1.0, 1.01 * largest]), np.zeros(2, np.int32), PerChannel(0))


@pytest.mark.parametrize("zero_point", [-129, 128, 1 << 40])
def test_a_zero_point_has_to_be_a_code(zero_point: int) -> None:
    with pytest.raises(UsageError, match="zero point: expected -128 to 127 for int8"):
        QuantParams(INT8, np.float32(1.0), np.asarray(zero_point, np.int64))


@pytest.mark.parametrize(
    ("granularity", "shape"),
    [
        (PerTensor(), ()),
        (PerChannel(0), (2,)),
        (PerChannel(-1), (6,)),
        (PerGroup(1, 4), (2, 2)),
        (PerElement(), (2, 6)),
    ],
)
def test_granularities_scale_what_they_say(
    granularity: PerTensor, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x = rng.normal(size=(2, 6)).astype(np.float32)
    assert granularity.param_shape(x.shape) == shape
    blocks = granularity.blocks(x)
    assert blocks.shape[:-1] == shape
    params = choose_params(blocks.min(-1), blocks.max(-1), INT8, Scheme.ASYMMETRIC, granularity)
    assert params.scale.shape == shape
    steps = np.abs(params.fake_quantize(x) - x) / granularity.expand(params.scale, x.shape)
    assert steps.max() <= 1.0


def test_a_tensor_of_another_shape_is_refused() -> None:
    params = QuantParams(INT8, np.ones(3, np.float32), np.zeros(3, np.int32), PerChannel(0))
    with pytest.raises(UsageError, match=r"of a tensor of shape \(4, 2\) needs shape \(4,\), got \(3,\)"):
        params.quantize(np.zeros((4, 2)))


def test_equality_looks_at_values() -> None:
    assert scalar(INT8, 0.1) == scalar(INT8, 0.1)
    assert scalar(INT8, 0.1) != scalar(INT8, 0.1, 1)
    assert scalar(INT8, 0.1) != scalar(UINT8, 0.1)
    assert scalar(INT8, 0.1) != QuantParams(INT8, np.array([0.1], np.float32), granularity=PerChannel(0))


@given(st.floats(2.0**-126, 2.0**100, width=32), TYPES)
def test_json_keeps_every_bit(scale: float, type: IntType) -> None:
    import json

    params = scalar(type, scale, type.qmax)
    assert QuantParams.from_json(json.loads(json.dumps(params.to_json()))) == params
    channel = QuantParams(type, np.array([scale, 1.0]), np.array([type.qmin, 0]), PerChannel(2))
    assert QuantParams.from_json(json.loads(json.dumps(channel.to_json()))) == channel


@pytest.mark.parametrize(
    "change",
    [{"zero_point": 0.5}, {"type": "float8"}, {"scale": 0.0}, {"granularity": {"per": "row"}}, {"zero_point": 1 << 40}],
)
def test_other_json_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        QuantParams.from_json(scalar(INT8, 0.1).to_json() | change)


@pytest.mark.parametrize("scheme", [Scheme.SYMMETRIC, Scheme.POWER_OF_TWO])
def test_a_bipolar_code_is_the_sign_and_that_of_zero_is_one(scheme) -> None:
    params = choose_params(-0.7, 0.7, BIPOLAR, scheme)
    assert float(params.scale) == (np.float32(0.7) if scheme is Scheme.SYMMETRIC else 1.0)
    x = np.array([-np.inf, -3.0, -1e-38, -0.0, 0.0, 1e-38, 0.1, np.inf], np.float32)
    q = params.quantize(x)
    assert q.dtype == np.int8 and q.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    assert np.array_equal(params.dequantize(q), q * params.scale)
    assert QuantParams.from_json(params.to_json()) == params
    assert [float(v) for v in params.range] == [-float(params.scale), float(params.scale)]


def test_a_bipolar_zero_point_is_zero_and_its_scheme_symmetric() -> None:
    with pytest.raises(UsageError, match="zero point: expected 0 for bipolar, got 1 to 1"):
        QuantParams(BIPOLAR, np.float32(1), np.int32(1))
    with pytest.raises(UsageError, match="expected symmetric or power_of_two for bipolar, got asymmetric"):
        choose_params(-1, 1, BIPOLAR, Scheme.ASYMMETRIC)


def test_a_bipolar_range_of_zeros_is_as_good_as_zero() -> None:
    params = choose_params(0, 0, BIPOLAR, Scheme.SYMMETRIC)
    assert np.abs(params.fake_quantize(np.zeros(3))).max() <= 1.2e-38
