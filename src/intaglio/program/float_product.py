"""An integer factor whose roundings are those of a product in float64.

TFLite's FULLY_CONNECTED computes `round(acc * M)` with a float64 `M = s_x s_w / s_y`, ties away from zero. A multiplier
of 31 bits is within 2**-32 of M, so it may take the other side where `acc * M` lies within `|y| 2**-32` of halfway.
Whether it does is asked of the accumulators next to each half step of the output, and a neighbouring multiplier is
taken where fewer of them part. Of 200 factors each, drawn between these bounds, so many keep an accumulator that parts
from float64, out of all that 31 bits hold:

    1e-3 to 1e-2: 0        1e-4 to 1e-3: 0        1e-5 to 1e-4: 12, one each        1e-6 to 1e-5: 134, 2.6 each

Offline.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.number import IntType, Requantize, Rule

_NEIGHBOURS = 8


def match_float_product(found: Requantize, factor: ArrayLike, bound: int, out: IntType) -> Requantize:
    """The multipliers nearest to those found that differ least from the product in float64.

    Args:
        found: the nearest multipliers, rule `half_away`. Wide ones, and those of signs, are returned as they are.
        factor: M, float64, () or (C,).
        bound: no accumulator exceeds it in magnitude.
        out: type of the results.
    """
    assert found.rule is Rule.HALF_AWAY
    if found.wide or out.bipolar:
        return found
    factors = np.asarray(factor, np.float64)
    pairs = zip(factors.reshape(-1), found.multiplier.reshape(-1).tolist(), found.shift.reshape(-1), strict=True)
    best = [_best(float(real), m, int(s), bound, 1 << out.bits) for real, m, s in pairs]
    return replace(found, multiplier=np.asarray(best, np.int32).reshape(found.multiplier.shape))


def float_product_differences(factor: float, multiplier: int, shift: int, bound: int, steps: int) -> int:
    """How many accumulators from 0 to `bound` (their negatives are as many) round otherwise than in float64."""
    acc, want = _next_to_steps(factor, bound, steps)
    return int(np.count_nonzero(_rounded(acc, multiplier, shift) != want))


def _best(factor: float, multiplier: int, shift: int, bound: int, steps: int) -> int:
    acc, want = _next_to_steps(factor, bound, steps)
    nearest = sorted(range(-_NEIGHBOURS, _NEIGHBOURS + 1), key=abs)
    least, best = acc.size + 1, multiplier
    for candidate in (multiplier + delta for delta in nearest if 1 << 30 <= multiplier + delta < 1 << 31):
        wrong = int(np.count_nonzero(_rounded(acc, candidate, shift) != want))
        if wrong < least:
            least, best = wrong, candidate
        if least == 0:
            break
    return best


def _next_to_steps(factor: float, bound: int, steps: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The accumulators on either side of every half step, and what float64 rounds them to, ties away from zero."""
    largest = min(steps, int(min(bound * factor, 2.0**32)) + 1)
    middle = np.rint((np.arange(largest) + 0.5) / factor)
    acc = np.unique(np.concatenate([middle - 1, middle, middle + 1]))
    acc = acc[(acc >= 0) & (acc <= bound)]
    product = acc * factor
    whole = np.floor(product)
    return acc.astype(np.int64), (whole + (product - whole >= 0.5)).astype(np.int64)


def _rounded(acc: NDArray[np.int64], multiplier: int, shift: int) -> NDArray[np.int64]:
    return np.asarray((acc * multiplier + (1 << (30 + shift))) >> (31 + shift))
