"""Exact integer matrix products on floating-point BLAS, in this one place.

A product of integers is exact in float64 as long as every partial sum stays below 2**53, and in float32 below 2**24;
BLAS is then tens of times faster than NumPy's integer loops and returns the same integers in any order of summation.
The bound is proved from the operands before a product is run, `max |a| * max_n sum_k |b[k, n]|`; where it fails,
int64 loops run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32_EXACT, FLOAT64_EXACT = 1 << 24, 1 << 53
_CHUNK = 1 << 17  # elements of `a` that are widened to floats at a time, so that they stay in the second-level cache


def exact_matmul(a: NDArray[Any], b: NDArray[Any], a_bound: int | None = None) -> NDArray[Any]:
    """`a @ b` over integers, exactly.

    Args:
        a: integers, (..., M, K).
        b: integers, (..., K, N).
        a_bound: magnitude that no element of `a` exceeds, where the caller knows it; measured otherwise.
    Returns:
        (..., M, N): int32 where the proved bound of the sums is below 2**31, otherwise int64 (modulo 2**64).
    """
    a_bound = _magnitude(a) if a_bound is None else a_bound
    bound = a_bound * _column_bound(b)
    out = np.dtype(np.int32 if bound < 1 << 31 else np.int64)
    if bound < FLOAT64_EXACT:
        wide = np.dtype(np.float32 if bound < FLOAT32_EXACT else np.float64)
    else:
        wide = np.dtype(np.int64)
    if b.ndim > 2 or a.ndim < 2:
        return np.asarray(np.matmul(a.astype(wide), b.astype(wide))).astype(out)
    rows, columns = a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b.astype(wide)
    result = np.empty((rows.shape[0], b.shape[-1]), out)
    # One buffer for all chunks: fresh memory for each costs more than the products.
    step = min(max(1, _CHUNK // max(1, rows.shape[1])), max(1, rows.shape[0]))
    widened, sums = np.empty((step, rows.shape[1]), wide), np.empty((step, b.shape[-1]), wide)
    for start in range(0, rows.shape[0], step):
        count = min(step, rows.shape[0] - start)
        widened[:count] = rows[start : start + count]
        np.matmul(widened[:count], columns, out=sums[:count])
        result[start : start + count] = sums[:count]
    return result.reshape(*a.shape[:-1], b.shape[-1])


def _magnitude(x: NDArray[Any]) -> int:
    return max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0


def _column_bound(b: NDArray[Any]) -> int:
    """max over columns of sum_k |b[k, n]|, as a Python integer that cannot wrap."""
    if not b.size:
        return 0
    if _magnitude(b) * b.shape[-2] >= 1 << 62:
        return int(_magnitude(b) * b.shape[-2])
    sums: NDArray[np.int64] = np.abs(b.astype(np.int64)).sum(axis=-2)
    return int(sums.max())
