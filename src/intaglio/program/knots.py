"""Where the knots of an interpolated table stand: as many as a function's bends ask for, block by block.

The codes are 512 blocks of 2**s, s = bits - 9. A block has 2**(s - k) intervals of 2**k codes each, k from s (one
interval) down to 0 (every code has its own knot, so nothing is interpolated):

    i = start[block] + (r >> k)         r: the code within its block
    y = (table[i] * 2**k + (table[i + 1] - table[i]) * (r mod 2**k) + 2**(k + f - 1)) >> (k + f)

The last knot of a block is the first of the next one. Each knot is moved by half the error in the middle of its
interval. Blocks begin with one interval; those where a result is off by more than `BOUND` get twice as many, until
none is: all results are computed and compared. Offline, but for `interpolate`, which is what kernels return.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]
Reals = NDArray[np.float64]

BLOCKS = 512
BOUND = 1.5
"""Steps that a result may be off: half for each rounding, of a knot and of the result, and half for the chord."""
FINE_BOUND = 0.625
"""The same where knots have bits behind the point: half a step for rounding the result, an eighth for the rest."""


@dataclass(frozen=True, eq=False)
class Knots:
    """An interpolated table.

    Args:
        table: (..., K), rounded, in parts of `2**fraction` to a step.
        starts: uint16, (512,), the first knot of each block; None where every block has one interval.
        shifts: uint8, (512,), k of each block; None likewise.
    """

    table: Reals
    starts: Ints | None
    shifts: Ints | None


def place_knots(steps: Callable[[Reals], Reals], first: int, bits: int, fraction: int, low: int, high: int) -> Knots:
    """Knots for a function.

    Args:
        steps: codes of the input, (K,), to output codes as real numbers, (..., K); finite.
        first: the first code.
        bits: of the input, 9 to 16.
        fraction: bits behind the point of a knot.
        low, high: clamp of the output codes.
    """
    span, finer = bits - 9, 1 << fraction
    offset = np.arange(1 << bits)
    exact = np.clip(steps(offset.astype(np.float64) + first), low, high)
    bound = FINE_BOUND if fraction else BOUND
    levels: dict[int, Reals] = {}
    shifts = np.full(BLOCKS, span)
    while True:
        for k in np.unique(shifts):
            if k not in levels:
                knots = even_knots(lambda codes: steps(codes) * finer, first, bits, int(k))
                levels[int(k)] = np.clip(knots, low * finer, high * finer)
        found = _joined(levels, shifts, span)
        off = np.abs(
            interpolate(found.table.astype(np.int64), found.starts, found.shifts, offset, span, fraction) - exact
        )
        worst = off.reshape(-1, BLOCKS, 1 << span).max(axis=(0, 2))
        poor = (worst > bound) & (shifts > 0)
        if not poor.any():
            return found
        shifts = shifts - poor


def interpolate(table: Ints, starts: Ints | None, shifts: Ints | None, offset: Ints, span: int, fraction: int) -> Ints:
    """Results for codes counted from the first one; see the module's equation.

    Args:
        table: (K,), or (C, K) for a table per channel, the last axis of `offset` where that has C, else all for each.
        starts, shifts: see `Knots`.
        offset: int, any shape.
        span: s.
        fraction: f.
    """
    block, rest = offset >> span, offset & ((1 << span) - 1)
    if starts is None or shifts is None:
        index, k = block, np.asarray(span)
    else:
        k = shifts[block].astype(np.int32)
        index, rest = starts[block].astype(np.int32) + (rest >> k), rest & ((1 << k) - 1)
    if table.ndim == 1:
        base, after = table[index], table[index + 1]
    elif offset.ndim > 1:
        channel = np.arange(table.shape[0])
        base, after = table[channel, index], table[channel, index + 1]
    else:
        base, after = table[:, index], table[:, index + 1]
    base, after = base.astype(np.int32), after.astype(np.int32)
    # 65535 * 2**7 + 65535 * 127 + 2**13 < 2**31
    half = (1 << (k + fraction)) >> 1
    result: Ints = (base * (1 << k) + (after - base) * rest + half) >> (k + fraction)
    return result


def even_knots(steps: Callable[[Reals], Reals], first: int, bits: int, k: int) -> Reals:
    """Knots 2**k codes apart, rounded; an interval's error moves its first knot, the last one's both.

    Args:
        steps: codes of the input, (K,), to output codes as real numbers.
        first: the first code.
        bits: of the input.
        k: as above.
    """
    width = 1 << k
    knots = np.arange((1 << (bits - k)) + 1, dtype=np.float64) * width + first
    exact = steps(knots)
    if width > 1:
        # The last knot stands for a code just outside the type; the function is asked there all the same.
        middle = steps(knots[:-1] + width / 2)
        error = (np.rint(exact[..., :-1]) + np.rint(exact[..., 1:])) / 2 - middle
        exact = exact.copy()
        exact[..., :-1] -= error / 2
        exact[..., -1] -= error[..., -1] / 2
    return np.rint(exact)


def _joined(levels: dict[int, Reals], shifts: NDArray[np.int64], span: int) -> Knots:
    """The knots of each block at its own level, one behind the other."""
    last = levels[int(shifts[-1])][..., -1:]
    if (shifts == span).all():
        return Knots(levels[span], None, None)
    parts = []
    for block, k in enumerate(shifts.tolist()):
        count = 1 << (span - k)
        parts.append(levels[k][..., block * count : (block + 1) * count])
    counts = 1 << (span - shifts)
    starts = np.cumsum(counts) - counts
    return Knots(np.concatenate([*parts, last], axis=-1), starts.astype(np.uint16), shifts.astype(np.uint8))


def knots_problem(starts: Ints, shifts: Ints, knots: int, span: int) -> str:
    """Why blocks do not fit a table of this many knots; empty where they do (a file may lie)."""
    if starts.shape != (BLOCKS,) or shifts.shape != (BLOCKS,) or starts.dtype != np.uint16 or shifts.dtype != np.uint8:
        return f"expected {BLOCKS} starts of uint16 and as many shifts of uint8"
    if (shifts > span).any():
        return f"expected shifts of at most {span}, got {int(shifts.max())}"
    last = starts.astype(np.int64) + (1 << (span - shifts.astype(np.int64)))
    return f"a block ends at knot {int(last.max())} of a table of {knots}" if (last >= knots).any() else ""
