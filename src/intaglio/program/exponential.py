"""exp of non-positive multiples of a scale, by two integer tables. Shared by softmax and its logarithm.

    exp(-d * s) = high[d >> 8] * low[d & 255] * 2**-60,     0 <= d < 2**16;   Q30, one rounding

Up to 8 bits, `high` is the one entry 2**30 and `low` the whole table.
"""

from __future__ import annotations

import numpy as np

from intaglio.number import IntType
from intaglio.program.operator import Ints, Operator

ONE = 1 << 30


def exp_tables(scale: float, type: IntType) -> tuple[Ints, Ints]:
    """(low, high) for differences of codes of a type; int32, offline."""
    low = np.arange(1 << min(type.bits, 8))
    high = np.arange(1 << max(type.bits - 8, 0)) * 256
    entries = [np.rint(np.exp(-scale * d) * ONE).astype(np.int32) for d in (low, high)]
    return entries[0], entries[1]


def check_tables(operator: Operator, low: Ints, high: Ints, type: IntType) -> None:
    """Refuse tables of a wrong size, or that do not start with 1 or grow; and bipolar codes, which differ by 2.

    Raises:
        ProgramError: named after the operator.
    """
    for name, table, size in (("low", low, 1 << min(type.bits, 8)), ("high", high, 1 << max(type.bits - 8, 0))):
        operator.expect(not type.bipolar, f"expected a type with consecutive codes, got {type}")
        operator.expect(
            type.bits <= 16 and table.dtype == np.int32 and table.shape == (size,) and table[0] == ONE
            and bool((table >= 0).all() and (table <= ONE).all()),
            f"expected a {name} table of {size} int32 entries from 0 to 2**30 that starts with 2**30",
        )  # fmt: skip


def exponentials(x: Ints, low: Ints, high: Ints) -> Ints:
    """exp of x minus its maximum along the last axis, in Q30; int64."""
    return products(x.max(axis=-1, keepdims=True).astype(np.int64) - x, low, high)


def products(difference: Ints, low: Ints, high: Ints) -> Ints:
    """exp of differences below the maximum, int64 from 0 on, in Q30; int64."""
    product = high.astype(np.int64)[difference >> 8] * low.astype(np.int64)[difference & 255]
    return np.asarray((product + (1 << 29)) >> 30)
