"""Choose the integer multiplier that rounds as often as possible like a product in float64.

TFLite's FULLY_CONNECTED computes `round(acc * M)` with a float64 `M = s_x s_w / s_y`, ties away from zero. A multiplier
of 31 bits differs from M by a relative error of up to 2**-32, so it may round differently where `acc * M` lies within
`|y| 2**-32` of a half step. This file tries the accumulators next to each half step of the output, and takes the
multiplier near M with the fewest different results. For each of the following ranges 200 random factors were tried. The
numbers say how many factors still have an accumulator, of all that 31 bits hold, that rounds differently:

    1e-3 to 1e-2: 0        1e-4 to 1e-3: 0        1e-5 to 1e-4: 12, one each        1e-6 to 1e-5: 134, 2.6 each

It runs when a network is lowered.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.number import IntType, Requantize, Rule

_NEIGHBOURS = 8


def match_float_product(found: Requantize, factor: ArrayLike, bound: int, out: IntType) -> Requantize:
    """Find, near the given multipliers, those whose results differ least often from the product in float64.

    Args:
        found: the multipliers nearest to M, rule `half_away`. Wide ones and those of a bipolar output stay.
        factor: M, float64, () or (C,).
        bound: the largest magnitude of an accumulator.
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
    """Count the accumulators from 0 to `bound` that round differently than in float64; negative ones add as many."""
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
    """Find the accumulators next to every half step, and their results in float64, ties away from zero."""
    largest = min(steps, int(min(bound * factor, 2.0**32)) + 1)
    middle = np.rint((np.arange(largest) + 0.5) / factor)
    acc = np.unique(np.concatenate([middle - 1, middle, middle + 1]))
    acc = acc[(acc >= 0) & (acc <= bound)]
    product = acc * factor
    whole = np.floor(product)
    return acc.astype(np.int64), (whole + (product - whole >= 0.5)).astype(np.int64)


def _rounded(acc: NDArray[np.int64], multiplier: int, shift: int) -> NDArray[np.int64]:
    return np.asarray((acc * multiplier + (1 << (30 + shift))) >> (31 + shift))
