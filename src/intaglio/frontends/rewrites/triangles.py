"""Sums along an axis that are products with a constant: CumSum with a triangle of ones, Trilu with a mask."""

from __future__ import annotations

import numpy as np

from intaglio.frontends.rewrites.rewriting import Rewriting, constant_input, is_float
from intaglio.graph.access import attribute, rank, shape

_LONGEST = 4096
"""The longest axis of a CumSum: its triangle has the square of this many weights."""


def cum_sum(to: Rewriting) -> None:
    """Rewrite CumSum -> MatMul with a triangle:   y[j] = sum of x[i] over i <= j."""
    value, axes = to.input(0), constant_input(to.node, 1)
    if axes is None or not is_float(value):
        return
    full = rank(value)
    axis = int(axes.ravel()[0]) % full
    size = shape(value)[axis]
    if size > _LONGEST:
        return
    ones = np.ones((size, size), np.float32)
    triangle = np.triu(ones, 1 if attribute(to.node, "exclusive", 0) else 0)
    if attribute(to.node, "reverse", 0):
        triangle = triangle[::-1, ::-1]
    order = [*(other for other in range(full) if other != axis), axis]
    turned = to.transpose(value, order)
    matrix = turned if full > 1 else to.reshape(turned, (1, size))
    total = to.apply("MatMul", matrix, to.array(np.ascontiguousarray(triangle), "triangle"))
    total = total if full > 1 else to.reshape(total, (size,))
    to.finish(to.transpose(total, np.argsort(order).tolist()))


def trilu(to: Rewriting) -> None:
    """Rewrite Trilu -> Where with a constant mask, and 0: a product with the mask would make NaN of infinity."""
    value, diagonal = to.input(0), constant_input(to.node, 1)
    if not is_float(value) or (diagonal is None and len(to.node.inputs) > 1 and to.node.inputs[1] is not None):
        return
    k = 0 if diagonal is None else int(diagonal.ravel()[0])
    cut = np.triu if attribute(to.node, "upper", 1) else np.tril
    mask = cut(np.ones(shape(value)[-2:], np.bool_), k)
    to.finish(to.apply("Where", to.array(mask, "mask"), value, to.number(0.0, "outside")))
