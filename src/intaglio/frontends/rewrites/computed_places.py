"""GatherElements and GatherND with computed indices, in the forms that are operators: one axis, data of equal sizes."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting, axis_of, constant_input
from intaglio.graph.access import attribute, constant, input_value, shape


def computed_elements(to: Rewriting) -> None:
    """Read a table of one line with Gather; leave a border of -inf out; crop other data to the indices.

    y[i, j] = x[i, indices[i, j]]
    """
    data, indices, axis = to.input(0), to.input(1), axis_of(to.node)
    sizes, wanted, table = shape(data), shape(indices), constant_input(to.node, 0)
    other = [k for k in range(len(sizes)) if k != axis]
    if len(wanted) != len(sizes) or any(wanted[k] > sizes[k] for k in other):
        return
    if table is not None:
        table = table[tuple(slice(None if k == axis else n) for k, n in enumerate(wanted))]
        if table.size == sizes[axis]:
            to.finish(to.apply("Gather", to.array(table.reshape(-1), "table"), indices, axis=0))
            return
    border = _infinite_border(data, axis)
    if border is None and all(wanted[k] == sizes[k] for k in other):
        return
    if table is not None:
        data = to.array(table, "table")
    elif border is not None:
        data = _source(data)
    for k in other if table is None else ():
        data = to.slice(data, k, 0, wanted[k])
    if border is None:
        to.finish(to.apply("GatherElements", data, indices, axis=axis))
        return
    inside = np.arange(sizes[axis]) - border
    kept = (inside >= 0) & (inside < shape(data)[axis])
    places = to.array(np.clip(inside, 0, shape(data)[axis] - 1).astype(np.int64), "places")
    elements = to.apply("GatherElements", data, to.apply("Gather", places, indices, axis=0), axis=axis)
    keep = to.apply("Gather", to.array(kept, "inside"), indices, axis=0)
    to.finish(to.apply("Where", keep, elements, to.number(-math.inf, "outside")))


def _infinite_border(data: ir.Value, axis: int) -> int | None:
    """How many elements of -inf a Pad of this axis alone puts in front; None if the data are no such Pad's."""
    pad = data.producer()
    if pad is None or pad.op_type != "Pad" or attribute(pad, "mode", "constant") != "constant":
        return None
    filled, pads, axes = (constant(input_value(pad, k)) for k in (2, 1, 3))
    if filled is None or pads is None or filled.reshape(-1)[0] != -math.inf:
        return None
    full = len(shape(data))
    padded = range(full) if axes is None else [int(k) % full for k in axes.reshape(-1)]
    amounts = dict(zip(padded, pads.reshape(2, -1).T.tolist(), strict=True))
    before, after = amounts.pop(axis, (0, 0))
    return None if before < 0 or after < 0 or any(map(any, amounts.values())) else before


def _source(data: ir.Value) -> ir.Value:
    pad = data.producer()
    assert pad is not None and pad.inputs[0] is not None
    return pad.inputs[0]


def computed_slices(to: Rewriting) -> None:
    """Rewrite GatherND with indices of one axis: Gather, or GatherElements where samples have their own.

    y[b, i, ...] = x[b, indices[b, i, 0], ...]
    """
    data, indices = to.input(0), to.input(1)
    sizes, wanted = shape(data), shape(indices)
    batch = int(attribute(to.node, "batch_dims", 0))
    if wanted[-1:] != (1,):
        return
    if batch == 0:
        to.finish(to.apply("Gather", data, to.reshape(indices, wanted[:-1]), axis=0))
        return
    count, rest = math.prod(wanted[batch:-1]), sizes[batch + 1 :]
    places = to.reshape(indices, (*sizes[:batch], count, *(1,) * len(rest)))
    if math.prod(rest) > 1:
        places = to.apply("Expand", places, to.ints([*(1,) * (batch + 1), *rest], "shape"))
    elements = to.apply("GatherElements", data, places, axis=batch)
    to.finish(to.reshape(elements, (*wanted[:-1], *rest)))
