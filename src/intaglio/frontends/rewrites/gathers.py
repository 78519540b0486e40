"""Operators that only select: elements by constants or computed indices, or rows of a constant table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.rewrites.computed_places import computed_elements, computed_slices
from intaglio.frontends.rewrites.rewriting import Rewriting, axis_of, constant_input, is_float
from intaglio.frontends.rewrites.selection import select
from intaglio.graph.access import Array, attribute, rank, shape, where


def gather_elements(to: Rewriting) -> None:
    """Rewrite GatherElements with constant indices, or from a table of one line:   y[i, j] = x[i, indices[i, j]]."""
    indices = constant_input(to.node, 1)
    if indices is None:
        computed_elements(to)
        return
    sizes, axis = shape(to.input(0)), axis_of(to.node)
    to.finish(select(to, to.input(0), element_places(to, sizes, indices, axis)))


def gather_nd(to: Rewriting) -> None:
    """Rewrite GatherND with constant indices, or with one axis of computed ones:   y[b, i] = x[b, indices[b, i]]."""
    indices = constant_input(to.node, 1)
    if indices is None:
        computed_slices(to)
        return
    batch = int(attribute(to.node, "batch_dims", 0))
    to.finish(select(to, to.input(0), slice_places(to, shape(to.input(0)), indices, batch)))


def element_places(to: Rewriting, sizes: tuple[int, ...], indices: Array, axis: int) -> Array:
    """Find the place of each element that indices along one axis name; others are their own place on the other axes."""
    larger = [k for k, (given, size) in enumerate(zip(indices.shape, sizes, strict=True)) if k != axis and given > size]
    if larger:
        raise ModelError(
            f"{where(to.node)} expected indices no larger than the data, {sizes}, beside axis {axis}, got "
            f"{indices.shape}"
        )
    places: list[Array] = list(np.indices(indices.shape))
    places[axis] = _inside(to, indices, sizes[axis])
    return _flat(places, sizes)


def slice_places(to: Rewriting, sizes: tuple[int, ...], indices: Array, batch: int = 0) -> Array:
    """Find the places of the elements of each slice that the last axis of `indices` names."""
    depth = indices.shape[-1]
    named = [_inside(to, indices[..., k], sizes[batch + k]) for k in range(depth)]
    grid: list[Array] = list(np.indices(indices.shape[:-1])[:batch]) if batch else []
    inner = math.prod(sizes[batch + depth :])
    first = _flat([*grid, *named], sizes[: batch + depth]) * inner
    return (first[..., None] + np.arange(inner)).reshape(*indices.shape[:-1], *sizes[batch + depth :])


def _flat(places: Sequence[Array], sizes: tuple[int, ...]) -> Array:
    """Count elements in row-major order."""
    return np.asarray(np.ravel_multi_index(tuple(places), sizes))


def _inside(to: Rewriting, indices: Array, size: int) -> Array:
    if ((indices < -size) | (indices >= size)).any():
        raise ModelError(
            f"{where(to.node)} expected indices of an axis of size {size}, got {indices.min()} to {indices.max()}"
        )
    return np.where(indices < 0, indices + size, indices).astype(np.int64)


def tile(to: Rewriting) -> None:
    """Rewrite Tile:   y[i] = x[i mod size], axis by axis."""
    repeats, value = constant_input(to.node, 1), to.input(0)
    if repeats is None:
        return
    for axis, (size, times) in enumerate(zip(shape(value), repeats.ravel().tolist(), strict=True)):
        if times == 1:
            continue
        if size == 1:
            target = [1] * len(repeats)
            target[axis] = times
            value = to.apply("Expand", value, to.ints(target, "shape"))
        else:
            value = to.gather(value, axis, np.tile(np.arange(size), times))
    to.finish(value)


def reverse_sequence(to: Rewriting) -> None:
    """Rewrite ReverseSequence with constant lengths: the first elements of each sample, backwards."""
    lengths = constant_input(to.node, 1)
    if lengths is None:
        return
    sizes = shape(to.input(0))
    batch, time = int(attribute(to.node, "batch_axis", 1)), int(attribute(to.node, "time_axis", 0))
    places: list[Array] = list(np.indices(sizes))
    length = lengths.astype(np.int64)[places[batch]]
    places[time] = np.where(places[time] < length, length - 1 - places[time], places[time])
    to.finish(select(to, to.input(0), _flat(places, sizes)))


def one_hot(to: Rewriting) -> None:
    """Rewrite OneHot -> Gather of rows of a table:   y[i] = on where i is the index, off elsewhere.

    Indices outside of the table, whose rows ONNX leaves off everywhere, are an error when the network runs.
    """
    indices, depth, values = to.input(0), constant_input(to.node, 1), constant_input(to.node, 2)
    if depth is None or values is None or not is_float(to.node.outputs[0]):
        return
    if indices.dtype not in (ir.DataType.INT32, ir.DataType.INT64):
        return
    count, (off, on) = int(depth.ravel()[0]), values.ravel()[:2].tolist()
    table = np.where(np.eye(count, dtype=bool), on, off).astype(np.float32)
    full = rank(to.node.outputs[0])
    rows = to.apply("Gather", to.array(table, "table"), indices, axis=0)
    order = list(range(full - 1))
    order.insert(int(attribute(to.node, "axis", -1)) % full, full - 1)
    to.finish(to.transpose(rows, order))


def hardmax(to: Rewriting) -> None:
    """Rewrite Hardmax -> ArgMax and Gather of rows of the identity:   y[i] = 1 at the largest x, 0 elsewhere."""
    axis, full = axis_of(to.node, -1), rank(to.input(0))
    largest = to.apply("ArgMax", to.input(0), axis=axis, keepdims=0)
    rows = to.apply("Gather", to.array(np.eye(shape(to.input(0))[axis], dtype=np.float32), "table"), largest, axis=0)
    order = list(range(full - 1))
    order.insert(axis, full - 1)
    to.finish(to.transpose(rows, order))
