import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.errors import LoweringError
from intaglio.number import INT8, INT16, UINT8, Requantize, Rule
from intaglio.number.fixedpoint import INT32_MAX, INT32_MIN

ACC = st.integers(-(1 << 31) + 1, (1 << 31) - 1)
WIDE_ACC = st.integers(-(1 << 47) + 1, (1 << 47) - 1)
MULTIPLIER = st.integers(1 << 30, (1 << 31) - 1)


def ties_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def ties_away(x: Fraction) -> int:
    return int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2))


def clamp32(x: int) -> int:
    return min(max(x, INT32_MIN), INT32_MAX)


def scaled(acc: int, multiplier: int, shift: int, rule: Rule, *, wide: bool = False) -> int:
    factor = Requantize(np.asarray(multiplier, np.int32), np.asarray(shift, np.int32), rule, wide)
    assert factor.problem() is None
    return int(factor.scale(np.asarray([acc], np.int64))[0])


@given(ACC, MULTIPLIER, st.integers(-30, 31))
def test_half_up_is_one_rounding_of_the_exact_product(acc: int, multiplier: int, shift: int) -> None:
    want = ties_up(Fraction(acc * multiplier) / Fraction(2) ** (31 + shift))
    assert scaled(acc, multiplier, shift, Rule.HALF_UP) == want


ONE_ROUNDING = {Rule.HALF_UP: ties_up, Rule.HALF_EVEN: round, Rule.HALF_AWAY: ties_away}
WITH_ZEROS = st.builds(lambda odd, zeros: max((odd >> zeros) << zeros, 1 << 30), MULTIPLIER, st.integers(0, 30))


@given(ACC, WITH_ZEROS, st.integers(-30, 31), st.sampled_from(list(ONE_ROUNDING)))
def test_one_rounding_of_the_exact_product_by_each_rule(acc: int, multiplier: int, shift: int, rule: Rule) -> None:
    """Multipliers that end in zeros tie often."""
    want = ONE_ROUNDING[rule](Fraction(acc * multiplier) / Fraction(2) ** (31 + shift))
    assert scaled(acc, multiplier, shift, rule) == want


@given(WIDE_ACC, st.integers(1 << 14, (1 << 15) - 1), st.integers(-14, 47), st.sampled_from(list(ONE_ROUNDING)))
def test_one_rounding_of_the_exact_wide_product_by_each_rule(acc: int, multiplier: int, shift: int, rule: Rule) -> None:
    want = ONE_ROUNDING[rule](Fraction(acc * multiplier) / Fraction(2) ** (15 + shift))
    assert scaled(acc, multiplier << 16, shift, rule, wide=True) == want


@pytest.mark.parametrize("rule", [Rule.HALF_EVEN, Rule.HALF_AWAY])
def test_without_ties_the_rules_are_half_up(rule: Rule, rng: np.random.Generator) -> None:
    """And `ties` finds every bound from which on they are not."""
    seen = set()
    for _ in range(300):
        zeros, shift = int(rng.integers(0, 31)), int(rng.integers(-8, 12))
        multiplier = max((int(rng.integers(1 << 30, 1 << 31)) >> zeros) << zeros, 1 << 30)
        bound = int(rng.integers(1, 300))
        factors = [
            Requantize(np.int32(multiplier).reshape(()), np.int32(shift).reshape(()), r) for r in (rule, Rule.HALF_UP)
        ]
        acc = np.arange(-bound, bound + 1)
        products = acc * multiplier
        tie = bool(((products & ((1 << (31 + shift)) - 1)) == 1 << (30 + shift)).any())
        assert factors[0].ties(bound) == tie
        if not tie:
            assert factors[0].scale(acc).tolist() == factors[1].scale(acc).tolist()
        seen.add(tie)
    assert seen == {False, True}


@given(ACC, MULTIPLIER, st.integers(-30, 31))
def test_tflite_is_high_multiply_and_then_division(acc: int, multiplier: int, shift: int) -> None:
    left = clamp32(acc << max(-shift, 0))
    high = clamp32(ties_up(Fraction(left * multiplier, 1 << 31)))
    want = ties_away(Fraction(high, 1 << max(shift, 0)))
    assert scaled(acc, multiplier, shift, Rule.TFLITE) == want


@given(ACC, st.integers(-31, 31))
def test_shift_rounds_ties_up_and_saturates_to_the_left(acc: int, shift: int) -> None:
    want = ties_up(Fraction(acc, 1 << shift)) if shift > 0 else clamp32(acc << -shift)
    assert scaled(acc, 1 << 30, shift, Rule.SHIFT) == want


def test_every_byte_under_every_rule() -> None:
    acc = np.arange(-128, 128)
    for real in (0.5, 0.25, 0.124, 0.9999, 1.0, 1.7, 3.0):
        factor = Requantize.from_real(real, Rule.HALF_UP)
        exact = Fraction(int(factor.multiplier)) / Fraction(2) ** (31 + int(factor.shift))
        assert factor.scale(acc).tolist() == [ties_up(exact * int(a)) for a in acc]
    for shift in range(1, 9):
        factor = Requantize.from_real(2.0**-shift, Rule.TFLITE)
        # 2**-shift is multiplier 2**30 and shift - 1: the first rounding halves, the second does the rest.
        halves = [ties_up(Fraction(int(a), 2)) for a in acc]
        assert factor.scale(acc).tolist() == [ties_away(Fraction(h, 1 << (shift - 1))) for h in halves]


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("factor", [2.0**-31, 2.0**-20, 0.5, 1.0, 2.0**10, 2.0**29])
@pytest.mark.parametrize("acc", [INT32_MIN + 1, -1, 0, 1, INT32_MAX])
def test_extremes_neither_wrap_nor_change_sign(rule: Rule, factor: float, acc: int) -> None:
    got = int(Requantize.from_real(factor, rule).scale(np.asarray(acc)))
    exact = Fraction(acc) * Fraction(factor)
    # Saturation starts at 32 bits; TFLite halves after its left shift, so there at 31. No output type is as wide.
    limit = {Rule.TFLITE: 1 << 30, Rule.SHIFT: INT32_MAX}.get(rule, 1 << 62)
    if abs(exact) < limit:
        assert abs(got - exact) <= 1
    else:
        assert abs(got) >= limit - 1 and (got > 0) == (exact > 0)


@pytest.mark.parametrize(("wide", "bits"), [(False, 31), (True, 47)])
def test_factors_too_small_to_matter_give_zero(wide: bool, bits: int) -> None:
    factor = Requantize.from_real(2.0 ** -(bits + 8), Rule.HALF_UP, wide=wide)
    assert factor.problem() is None
    largest = (1 << bits) - 1
    assert factor.scale(np.array([-largest, -1, 0, 1, largest])).tolist() == [0] * 5


@given(st.floats(2.0**-31, 2.0**13), st.sampled_from(list(Rule)))
def test_real_is_the_factor(real: float, rule: Rule) -> None:
    if rule is Rule.SHIFT:
        real = 2.0 ** round(math.log2(real))
    assert math.isclose(float(Requantize.from_real(real, rule).real), real, rel_tol=2.0**-31)


def test_apply_adds_the_zero_point_and_clamps() -> None:
    factor = Requantize.from_real(0.5, Rule.HALF_UP)
    got = factor.apply(np.array([-1000, -3, -1, 0, 1, 3, 1000], np.int32), 10, 5, 100, UINT8)
    assert got.dtype == np.uint8
    assert got.tolist() == [5, 9, 10, 10, 11, 12, 100]


def test_apply_leaves_its_argument_alone() -> None:
    acc = np.array([5, -5], np.int64)
    Requantize.from_real(0.5, Rule.HALF_UP).apply(acc, 0, -128, 127, INT8)
    assert acc.tolist() == [5, -5]


def test_a_factor_per_channel_follows_the_last_axis() -> None:
    factor = Requantize.from_real(np.array([1.0, 0.5, 0.25]), Rule.HALF_UP)
    assert factor.scale(np.full((2, 3), 4)).tolist() == [[4, 2, 1]] * 2


def test_wide_has_no_tflite_definition() -> None:
    with pytest.raises(LoweringError, match="accumulators of more than 32 bits are not defined; use half_up"):
        Requantize.from_real(0.5, Rule.TFLITE, wide=True)


def test_the_shift_rule_takes_powers_of_two_only() -> None:
    with pytest.raises(LoweringError, match="expected power-of-two factors"):
        Requantize.from_real(0.3, Rule.SHIFT)


@pytest.mark.parametrize(
    ("multiplier", "shift", "rule", "wide", "text"),
    [
        ([1 << 30], [1, 2], Rule.HALF_UP, False, "differ in shape"),
        ([], [], Rule.HALF_UP, False, "empty"),
        (
            [(1 << 30) - 1],
            [0],
            Rule.HALF_UP,
            False,
            "not normalised: expected 2\\*\\*30 to 2\\*\\*31 - 1, got 1073741823",
        ),
        ([1 << 30], [32], Rule.HALF_UP, False, "shift: expected -30 to 31, got 32 to 32"),
        ([1 << 30], [-31], Rule.TFLITE, False, "shift: expected -30 to 31"),
        ([1 << 30], [-32], Rule.SHIFT, False, "shift: expected -31 to 31"),
        ([1 << 30], [48], Rule.HALF_UP, True, "shift: expected -14 to 47"),
        ([(1 << 30) + 1], [0], Rule.HALF_UP, True, "15 significant bits"),
        ([1 << 30], [0], Rule.TFLITE, True, "15 significant bits"),
    ],
)
def test_broken_integers_are_described(
    multiplier: list[int], shift: list[int], rule: Rule, wide: bool, text: str
) -> None:
    factor = Requantize(np.array(multiplier, np.int32), np.array(shift, np.int32), rule, wide)
    problem = factor.problem()
    assert problem is not None and re.search(text, problem)


def test_other_dtypes_are_described() -> None:
    problem = Requantize(np.array(1 << 30, np.int64), np.array(0, np.int32)).problem()
    assert problem is not None and "must be int32" in problem


def test_int16_results_come_out_as_int16() -> None:
    got = Requantize.from_real(1.5, Rule.HALF_UP).apply(np.array([30000]), 0, INT16.qmin, INT16.qmax, INT16)
    assert got.dtype == np.int16 and got.tolist() == [32767]
