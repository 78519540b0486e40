"""Each primitive against its definition over exact fractions: every input at 8 bits, any input at 32."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.errors import LoweringError
from intaglio.number import fixedpoint as fx

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
BYTES = np.arange(-128, 128)


def ties_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def ties_away(x: Fraction) -> int:
    return int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2))


def clamp32(x: int) -> int:
    return min(max(x, -(1 << 31)), (1 << 31) - 1)


def shift_right(x: int, shift: int) -> int:
    return ties_up(Fraction(x, 1 << shift))


def shift_left(x: int, shift: int) -> int:
    return clamp32(x << shift)


def divide_by_pot(x: int, exponent: int) -> int:
    return ties_away(Fraction(x, 1 << exponent))


def high_multiply(a: int, b: int) -> int:
    """Ties of positive products go up, those of negative ones too: away from zero, and towards +infinity."""
    return clamp32(ties_up(Fraction(a * b, 1 << 31)))


def one(function: Callable[..., np.ndarray], *args: int) -> int:
    result = function(*(np.asarray(a, np.int64) for a in args))
    assert result.dtype == np.int64
    return int(result)


def test_every_byte_shifted() -> None:
    for shift in range(9):
        assert fx.rounding_shift_right(BYTES, shift).tolist() == [shift_right(int(x), shift) for x in BYTES]
        assert fx.rounding_divide_by_pot(BYTES, shift).tolist() == [divide_by_pot(int(x), shift) for x in BYTES]
    for shift in range(32):
        assert fx.saturating_shift_left(BYTES, shift).tolist() == [shift_left(int(x), shift) for x in BYTES]


def test_every_pair_of_bytes_multiplied() -> None:
    """Bytes in the highest and in the lowest bits of 32, so that both saturation and rounding are met."""
    for scale in (1 << 24, 1 << 16, 181 << 8):
        a, b = BYTES[:, None] * scale, BYTES[None, :] * (1 << 24)
        got = fx.saturating_rounding_doubling_high_multiply(a, b)
        want = [[high_multiply(int(x), int(y)) for y in b[0]] for x in a[:, 0]]
        assert got.tolist() == want


def test_every_byte_saturated() -> None:
    for low, high in ((-128, 127), (0, 63), (-3, -3)):
        got = fx.saturate(BYTES, low, high, np.int8)
        assert got.dtype == np.int8
        assert got.tolist() == [min(max(int(x), low), high) for x in BYTES]


@given(st.integers(-(1 << 62) + 1, (1 << 62) - 1), st.integers(0, 62))
def test_rounding_shift_right_rounds_ties_up(x: int, shift: int) -> None:
    assert one(fx.rounding_shift_right, x, shift) == shift_right(x, shift)


@given(INT32, st.integers(0, 31))
def test_rounding_divide_by_pot_rounds_ties_away_from_zero(x: int, exponent: int) -> None:
    assert one(fx.rounding_divide_by_pot, x, exponent) == divide_by_pot(x, exponent)


@given(INT32, INT32)
def test_high_multiply_is_the_rounded_product(a: int, b: int) -> None:
    assert one(fx.saturating_rounding_doubling_high_multiply, a, b) == high_multiply(a, b)


def test_high_multiply_saturates_only_at_the_smallest_square() -> None:
    lowest = -(1 << 31)
    assert one(fx.saturating_rounding_doubling_high_multiply, lowest, lowest) == (1 << 31) - 1
    assert one(fx.saturating_rounding_doubling_high_multiply, lowest, lowest + 1) == (1 << 31) - 1
    assert one(fx.saturating_rounding_doubling_high_multiply, lowest, (1 << 31) - 1) == lowest + 1


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 31))
def test_saturating_shift_left_saturates_at_32_bits_whatever_comes(x: int, shift: int) -> None:
    assert one(fx.saturating_shift_left, x, shift) == shift_left(x, shift)


@given(st.integers(0, (1 << 62) - 1))
def test_integer_sqrt_is_the_floor(x: int) -> None:
    assert one(fx.integer_sqrt, x) == math.isqrt(x)


def test_integer_sqrt_around_every_kind_of_square() -> None:
    roots = np.unique(np.concatenate([np.arange(300), 2 ** np.arange(31), 2 ** np.arange(1, 32) - 1])).astype(np.int64)
    squares = roots * roots
    assert fx.integer_sqrt(squares).tolist() == roots.tolist()
    assert fx.integer_sqrt(squares[1:] - 1).tolist() == (roots[1:] - 1).tolist()


@given(st.integers(1, (1 << 63) - 1))
def test_floor_log2_is_the_highest_bit(x: int) -> None:
    assert one(fx.floor_log2, x) == x.bit_length() - 1


REALS = st.floats(2.0**-40, 2.0**13, allow_subnormal=False)


@given(REALS, st.sampled_from([15, 31]))
def test_a_decomposed_factor_is_the_nearest_with_its_bits(real: float, bits: int) -> None:
    multiplier, shift = (int(v) for v in fx.decompose_multiplier(real, bits))
    assert 1 << 30 <= multiplier < 1 << 31
    assert multiplier % (1 << (31 - bits)) == 0
    assert 1 - bits <= shift <= 62 - bits
    if real >= 2.0 ** (bits - 63):
        error = abs(Fraction(multiplier) / Fraction(2) ** (31 + shift) - Fraction(real))
        assert error <= Fraction(real) / (1 << bits)
        # half a unit of the last bit, at the exponent that the real factor has
        assert error * Fraction(2) ** (bits - math.frexp(real)[1]) <= Fraction(1, 2)


def test_ties_of_a_multiplier_go_up() -> None:
    assert int(fx.decompose_multiplier((2**31 - 1.5) / 2**31)[0]) == 2**31 - 1
    assert int(fx.decompose_multiplier((2**30 + 0.5) / 2**31)[0]) == 2**30 + 1


def test_a_factor_that_rounds_to_a_power_of_two_carries() -> None:
    multiplier, shift = fx.decompose_multiplier(1.0 - 2.0**-40)
    assert (int(multiplier), int(shift)) == (1 << 30, -1)
    multiplier, shift = fx.decompose_multiplier(1.0 - 2.0**-20, 15)
    assert (int(multiplier), int(shift)) == (1 << 30, -1)


def test_factors_of_each_channel_are_decomposed_together() -> None:
    real = np.array([0.3, 0.5, 1.0, 7.1])
    multiplier, shift = fx.decompose_multiplier(real)
    assert multiplier.dtype == shift.dtype == np.int32
    np.testing.assert_allclose(multiplier * 2.0 ** (-31.0 - shift), real, rtol=2.0**-31)


@pytest.mark.parametrize("bits", [15, 31])
@pytest.mark.parametrize("real", [0.0, -1.0, math.nan, math.inf, 2.0**30])
def test_impossible_factors_are_refused(real: float, bits: int) -> None:
    with pytest.raises(LoweringError, match=rf"expected factors in \(0, 2\*\*{bits - 1}\), got"):
        fx.decompose_multiplier(real, bits)


@pytest.mark.parametrize("bits", [15, 31])
def test_a_factor_that_would_carry_out_of_range_is_refused(bits: int) -> None:
    with pytest.raises(LoweringError, match="expected factors"):
        fx.decompose_multiplier(math.nextafter(2.0 ** (bits - 1), 0), bits)


@given(st.integers(-31, 31))
def test_power_of_two_shift(exponent: int) -> None:
    assert int(fx.power_of_two_shift(2.0**exponent)) == -exponent


@pytest.mark.parametrize("real", [0.0, 0.3, 3.0, -2.0, 2.0**32, 2.0**-32, math.inf, math.nan])
def test_other_factors_are_no_shift(real: float) -> None:
    with pytest.raises(LoweringError, match=r"expected power-of-two factors within 2\*\*-31 to 2\*\*31"):
        fx.power_of_two_shift(real)
