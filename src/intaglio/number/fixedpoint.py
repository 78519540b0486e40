"""Exact integer helpers: rounding, shifting, saturating, and multiplication by a real factor.

Every function here has one C twin of the same name. Ties and saturation are stated in the first line of each.
All of them work on NumPy integers and never on floats, except `decompose_multiplier`, which runs offline.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.errors import LoweringError

Ints = NDArray[Any]

MULTIPLIER_BITS = 31
INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def saturate(x: Ints, low: int, high: int, dtype: np.dtype[Any] | type = np.int64) -> Ints:
    """Clamp to [low, high] and store as `dtype`."""
    return np.minimum(np.maximum(x, low), high).astype(dtype)


def rounding_shift_right(x: Ints, shift: ArrayLike) -> Ints:
    """`floor(x / 2**shift + 1/2)`: ties go up; int64, 0 <= shift <= 62, |x| < 2**62; shift 0 returns x."""
    x, shift = np.asarray(x, np.int64), np.asarray(shift, np.int64)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), np.int64(0))
    return np.asarray((x + half) >> shift)


def rounding_shift_right_even(x: Ints, shift: ArrayLike) -> Ints:
    """`x / 2**shift` to nearest, ties to even; int64, 1 <= shift <= 62, |x| < 2**62."""
    up, tie = _up_and_tie(x, shift)
    return np.asarray(up - (tie & up))


def rounding_shift_right_away(x: Ints, shift: ArrayLike) -> Ints:
    """`x / 2**shift` to nearest, ties away from zero; int64, 1 <= shift <= 62, |x| < 2**62."""
    up, tie = _up_and_tie(x, shift)
    return np.asarray(up - (tie & (np.asarray(x) < 0)))


def _up_and_tie(x: Ints, shift: ArrayLike) -> tuple[Ints, Ints]:
    """`rounding_shift_right`, and 1 where it had to choose, 0 elsewhere."""
    shift = np.asarray(shift, np.int64)
    total = np.asarray(x, np.int64) + (np.int64(1) << (shift - 1))
    return total >> shift, (total & ((np.int64(1) << shift) - 1) == 0).astype(np.int64)


def saturating_shift_left(x: Ints, shift: ArrayLike) -> Ints:
    """`x * 2**shift`, saturated to int32; 0 <= shift <= 31, any int64 x."""
    # What does not fit int32 before the shift does not fit after it, so the shift itself stays below 2**62.
    narrow = saturate(np.asarray(x, np.int64), INT32_MIN, INT32_MAX)
    return saturate(narrow << np.asarray(shift, np.int64), INT32_MIN, INT32_MAX)


def saturating_rounding_doubling_high_multiply(a: Ints, b: ArrayLike) -> Ints:
    """`round(a * b / 2**31)`, ties away from zero for a*b > 0 and towards +inf below; saturates at a = b = -2**31.

    gemmlowp's SaturatingRoundingDoublingHighMul on int32 (ARM SQRDMULH up to the tie rule).
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudge = np.where(product >= 0, np.int64(1 << 30), np.int64(1 - (1 << 30)))
    total = product + nudge
    # C division truncates towards zero; numpy's >> floors.
    quotient = np.where(total >= 0, total >> 31, -((-total) >> 31))
    return saturate(quotient, INT32_MIN, INT32_MAX)


def rounding_divide_by_pot(x: Ints, exponent: ArrayLike) -> Ints:
    """`x / 2**exponent` to nearest, ties away from zero; 0 <= exponent <= 31. gemmlowp's RoundingDivideByPOT."""
    x, exponent = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (x < 0)
    return np.asarray((x >> exponent) + (remainder > threshold))


def integer_sqrt(x: Ints) -> Ints:
    """`floor(sqrt(x))`, exact; int64, 0 <= x < 2**62. Newton's method from above: it falls until it is there."""
    x = np.asarray(x, np.int64)
    root = np.full(x.shape, 1 << 31, np.int64)
    while True:
        better = (root + x // np.maximum(root, 1)) >> 1
        if (better >= root).all():
            return root
        root = np.minimum(root, better)


def floor_log2(x: Ints) -> Ints:
    """Position of the highest set bit; int64, x >= 1."""
    x = np.asarray(x, np.int64)
    position = np.zeros(x.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        above = (x >> (position + step)) > 0
        position += np.where(above, step, 0)
    return position


def decompose_multiplier(real: ArrayLike, bits: int = MULTIPLIER_BITS) -> tuple[Ints, Ints]:
    """Write a positive factor as `multiplier * 2**(-31 - shift)`, ties of the multiplier up. Offline (float64).

    Args:
        real: factors, any shape; each in (0, 2**(bits - 1)).
        bits: significant bits kept; 31, or 15 for accumulators of more than 32 bits. The multiplier's low
            `31 - bits` bits are then zero.
    Returns:
        (multiplier, shift), int32: multiplier in [2**30, 2**31), shift in [1 - bits, 62 - bits]. A factor below
        2**(bits - 63) maps every |acc| < 2**(62 - bits) to 0, and so does its stand-in, multiplier 2**30 and the
        largest shift.
    Raises:
        LoweringError: a factor is not positive and finite, or 2**(bits - 1) and larger.
    Source: Jacob et al. 2018, arXiv:1712.05877, eq. (6); the tie is that of TFLite's QuantizeMultiplier.
    """
    real = np.asarray(real, np.float64)
    largest = 2.0 ** (bits - 1)
    if not (np.isfinite(real).all() and (real > 0).all() and (real < largest).all()):
        raise LoweringError(f"multiplier: expected factors in (0, 2**{bits - 1}), got {real.min()} to {real.max()}")
    mantissa, exponent = np.frexp(real)
    multiplier = np.floor(mantissa * 2.0**bits + 0.5).astype(np.int64)
    carried = multiplier == 1 << bits
    multiplier = np.where(carried, 1 << 30, multiplier << (MULTIPLIER_BITS - bits))
    shift = -(exponent + carried)
    if (shift < 1 - bits).any():
        raise LoweringError(f"multiplier: expected factors that round to less than 2**{bits - 1}, got {real.max()!r}")
    most = 2 * MULTIPLIER_BITS - bits
    tiny = shift > most
    return np.where(tiny, 1 << 30, multiplier).astype(np.int32), np.where(tiny, most, shift).astype(np.int32)


def power_of_two_shift(real: ArrayLike) -> Ints:
    """The s with `real == 2**-s`, int32. Offline.

    Raises:
        LoweringError: a factor is no power of two, or out of [2**-31, 2**31].
    """
    mantissa, exponent = np.frexp(np.asarray(real, np.float64))
    if (mantissa != 0.5).any() or (np.abs(exponent - 1) > 31).any():
        raise LoweringError(f"rule shift: expected power-of-two factors within 2**-31 to 2**31, got {real!r}")
    return np.asarray(1 - exponent, np.int32)
