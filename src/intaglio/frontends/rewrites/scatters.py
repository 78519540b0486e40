"""ScatterElements and ScatterND with constant indices, as a selection from the data and the updates behind it.

y = [data, updates].flat[positions]          a reduction `add`: y = data + [updates, 0].flat[positions]
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from intaglio.frontends.rewrites.gathers import element_places, slice_places
from intaglio.frontends.rewrites.rewriting import Rewriting, axis_of, constant_input, is_float
from intaglio.frontends.rewrites.selection import select
from intaglio.graph.access import Array, attribute, constant, shape

_MOST_SUMS = 8
"""How often one element may be added to; each time is an Add."""
_MASKED = -1e4
"""Numbers from here down that are written over others are a mask of attention."""


def scatter_elements(to: Rewriting) -> None:
    """Rewrite ScatterElements:   y = data, y[i, indices[i, j]] = updates[i, j]."""
    indices = constant_input(to.node, 1)
    if indices is not None and is_float(to.input(0)):
        _scatter(to, element_places(to, shape(to.input(0)), indices, axis_of(to.node)))


def scatter_nd(to: Rewriting) -> None:
    """Rewrite ScatterND:   y = data, y[indices[i]] = updates[i]."""
    indices = constant_input(to.node, 1)
    if indices is not None and is_float(to.input(0)):
        _scatter(to, slice_places(to, shape(to.input(0)), indices))


def _scatter(to: Rewriting, places: Array) -> None:
    """Write updates to places in the data; of several updates for one place the last one counts.

    Args:
        to: its node has data, indices, updates.
        places: in the data, the shape of the updates.
    """
    data, updates = to.input(0), to.input(2)
    how, rounds = str(attribute(to.node, "reduction", "none")), list(_rounds(places, math.prod(shape(data))))
    if places.size == 0:
        to.finish(data)
    elif how == "none":
        last = np.full(math.prod(shape(data)), -1)
        last[places.reshape(-1)] = np.arange(places.size)
        to.finish(_written(to, data, updates, last.reshape(shape(data))))
    elif how == "add" and len(rounds) <= _MOST_SUMS:
        for origin in rounds:
            share = _spread(to, updates, origin.reshape(shape(data)))
            data = to.apply("Add", data, share)
        to.finish(data)


def _rounds(places: Array, size: int) -> Iterator[Array]:
    """Split updates so that a place gets one at a time; yield the update of every place, -1 for none."""
    flat = places.reshape(-1)
    left = np.arange(flat.size)
    while left.size:
        origin = np.full(size, -1)
        first, at = np.unique(flat[left], return_index=True)
        origin[first] = left[at]
        yield origin
        left = np.delete(left, at)


def _written(to: Rewriting, data: ir.Value, updates: ir.Value, origin: Array) -> ir.Value:
    """Put updates over data where `origin`, the data's shape, has the place of one; -1 keeps the data."""
    old, new = constant(data), constant(updates)
    if old is not None:
        base = np.where(origin < 0, old, 0).astype(np.float32)
        spread = _spread(to, updates, origin)
        return to.apply("Add", spread, to.array(base, "data")) if base.any() else spread
    if new is None:
        return _from_both(to, data, updates, origin)
    lowest = float(new.max())
    if lowest == float(new.min()) and lowest <= _MASKED:
        return to.apply("Where", to.array(origin < 0, "kept"), data, to.number(lowest, "masked"))
    kept = _from_both(to, data, None, origin)
    added = np.where(origin < 0, 0, new.reshape(-1)[origin]).astype(np.float32)
    return to.apply("Add", kept, to.array(added, "updates")) if added.any() else kept


def _spread(to: Rewriting, updates: ir.Value, origin: Array) -> ir.Value:
    """Put updates where `origin` has the place of one, and 0 elsewhere."""
    array = constant(updates)
    if array is not None:
        return to.array(np.where(origin < 0, 0, array.reshape(-1)[origin]).astype(np.float32), "updates")
    sizes, count = shape(updates), math.prod(shape(updates))
    lead: tuple[int, ...] = ()
    if sizes and sizes[0] == origin.shape[0] and _apart(origin, sizes[0], count):
        lead, inner = (sizes[0],), count // sizes[0]
        rows = origin.reshape(sizes[0], -1)
        rows = np.where(rows < 0, inner + np.arange(sizes[0])[:, None] * (inner + 1), rows + _sample(rows, inner))
    else:
        inner = count
        rows = np.where(origin < 0, inner, origin)
    padded = to.pad(to.reshape(updates, (*lead, inner)), {len(lead): (0, 1)})
    return select(to, padded, rows.reshape(origin.shape))


def _sample(rows: Array, inner: int) -> Array:
    """Count the zeros that lie before each element once every sample has one behind it."""
    return np.asarray(rows // max(1, inner))


def _apart(origin: Array, samples: int, count: int) -> bool:
    """Tell whether the elements of sample i come from sample i of the updates only."""
    rows = origin.reshape(samples, -1)
    return bool(((rows < 0) | (rows // (count // samples) == np.arange(samples)[:, None])).all())


def _from_both(to: Rewriting, data: ir.Value, updates: ir.Value | None, origin: Array) -> ir.Value:
    """Select from data, and behind it the updates, or a zero where there are none."""
    sizes, first = shape(data), shape(data)[0] if shape(data) else 1
    count = 1 if updates is None else math.prod(shape(updates))
    apart = bool(sizes) and (updates is None or (count % first == 0 and _apart(origin, first, count)))
    samples = first if apart else 1
    own, theirs = math.prod(sizes) // samples, 1 if updates is None else count // samples
    rows = origin.reshape(samples, -1)
    here = np.arange(samples)[:, None] * (own + theirs)
    taken = own + (np.zeros_like(rows) if updates is None else rows % theirs)
    places = here + np.where(rows < 0, np.arange(own), taken)
    lead = (samples,) if apart else ()
    flat = to.reshape(data, (*lead, own))
    if updates is None:
        behind = to.pad(flat, {len(lead): (0, 1)})
    else:
        behind = to.apply("Concat", flat, to.reshape(updates, (*lead, theirs)), axis=len(lead))
    return select(to, behind, places.reshape(sizes))
