"""Any constant selection of the elements of a value, as one Gather.   y.flat[i] = x.flat[positions.flat[i]]"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting
from intaglio.graph.access import Array, shape


def select(to: Rewriting, source: ir.Value, positions: Array) -> ir.Value:
    """Select elements by their places in row-major order.

    Leading axes along which the selection repeats stay as they are, so that the batch does; elements that stay
    neighbours are moved together.

    Args:
        to: where nodes are inserted.
        source: the value that is read.
        positions: int, the shape of the result: places in the source.
    """
    sizes = shape(source)
    lead, row = _repeated(sizes, positions)
    inner = math.prod(sizes[lead:])
    run = _run(row, inner)
    blocks = row[::run] // run
    if np.array_equal(blocks, np.arange(inner // run)):
        return to.reshape(source, positions.shape)
    value = to.reshape(source, (*sizes[:lead], inner // run, run))
    return to.reshape(to.gather(value, lead, blocks), positions.shape)


def _repeated(sizes: tuple[int, ...], positions: Array) -> tuple[int, Array]:
    """Find how many leading axes select the same from each of their slices, and the places in a slice."""
    for lead in range(min(len(sizes), positions.ndim), 0, -1):
        if sizes[:lead] != positions.shape[:lead]:
            continue
        count, inner = math.prod(sizes[:lead]), math.prod(sizes[lead:])
        rows = positions.reshape(count, -1) - np.arange(count)[:, None] * inner
        if rows.min() >= 0 and rows.max() < inner and (rows == rows[0]).all():
            return lead, rows[0]
    return 0, positions.reshape(-1)


def _run(row: Array, inner: int) -> int:
    """Find the largest number of elements that are moved together: aligned, and neighbours before and after."""
    starts = np.flatnonzero(np.diff(row, prepend=row[0] - 2) != 1)
    return math.gcd(len(row), inner, *starts.tolist(), *row[starts].tolist())
