"""exp and the reciprocal in gemmlowp's fixed point, as TFLite's softmax uses them. int32 values in int64 arrays.

A number in Qm.n is `raw / 2**n` with m + n = 31. Every product is a saturating rounding doubling high multiply.
Source: gemmlowp, fixedpoint/fixedpoint.h.
"""

from __future__ import annotations

import numpy as np

from intaglio.number.fixedpoint import (
    INT32_MAX,
    Ints,
    rounding_divide_by_pot,
    saturating_shift_left,
)
from intaglio.number.fixedpoint import saturating_rounding_doubling_high_multiply as multiply

# exp(-2**k) in Q0.31 for k = -2 to 4.
_EXP_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
_EXP_MINUS_EIGHTH = 1895147668
_THIRD = 715827883


def exp_on_negative_values(a: Ints) -> Ints:
    """exp(a) for a <= 0 in Q5.26, as Q0.31; exp(0) is 2**31 - 1."""
    a = np.asarray(a, np.int64)
    quarter = 1 << 24
    low = (a & (quarter - 1)) - quarter  # a modulo 1/4, in [-1/4, 0)
    result = _exp_on_minus_quarter_to_zero(low << 5)
    rest = low - a
    for k, factor in zip(range(-2, 5), _EXP_POWERS, strict=True):
        result = np.where(rest & (1 << (26 + k)), multiply(result, factor), result)
    return np.where(a == 0, INT32_MAX, result)


def _exp_on_minus_quarter_to_zero(a: Ints) -> Ints:
    """exp(a) for a in [-1/4, 0), Q0.31 to Q0.31: a Taylor series around -1/8."""
    x = a + (1 << 28)
    x2 = multiply(x, x)
    x3 = multiply(x2, x)
    x4_over_4 = rounding_divide_by_pot(multiply(x2, x2), 2)
    tail = rounding_divide_by_pot(multiply(x4_over_4 + x3, _THIRD) + x2, 1)
    return _EXP_MINUS_EIGHTH + multiply(x + tail, _EXP_MINUS_EIGHTH)


def one_over_one_plus_x(a: Ints) -> Ints:
    """1 / (1 + a) for a in [0, 1), Q0.31 to Q0.31: three Newton-Raphson steps."""
    total = np.asarray(a, np.int64) + INT32_MAX
    half_denominator = (total + 1) >> 1  # total is not negative; the tie goes up
    x = 1515870810 + multiply(half_denominator, -1010580540)  # 48/17 - 32/17 d, Q2.29
    for _ in range(3):
        rest = (1 << 29) - multiply(half_denominator, x)
        x = x + saturating_shift_left(multiply(x, rest), 2)
    return saturating_shift_left(x, 1)
