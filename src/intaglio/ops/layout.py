"""Orders of axes: what an operator needs of its operands' memory, and how axes are renumbered."""

from __future__ import annotations

import math
from collections.abc import Iterable

import onnx_ir as ir

from intaglio.graph.access import rank, shape
from intaglio.ops.operator import Axes, Lowering, Placed
from intaglio.ops.windows import channels_last
from intaglio.program import Operator
from intaglio.program.operators.reshape import Reshape


def ending_with(order: Axes, last: Axes) -> Axes:
    """An order of axes with `last` at its end: the given one where it ends so already, else as little moved as can be.

    Args:
        order: graph axis of each tensor axis.
        last: graph axes, not negative, in the order wanted.
    """
    if order[len(order) - len(last) :] == last:
        return order
    return (*(axis for axis in order if axis not in last), *last)


def without(order: Axes, gone: Iterable[int]) -> Axes:
    """An order of axes after some graph axes have gone: the others move up."""
    left = sorted(set(order) - set(gone))
    return tuple(left.index(axis) for axis in order if axis in left)


def with_inserted(order: Axes, new: Axes, rank: int) -> Axes:
    """An order of axes with new graph axes in it, each in front of the graph axis that it precedes.

    Args:
        order: of the old axes.
        new: graph axes of the result that did not exist before.
        rank: of the result.
    Returns:
        (rank,): the natural order where `order` is natural.
    """
    old = [axis for axis in range(rank) if axis not in new]
    result = [old[axis] for axis in order]
    for axis in sorted(new, reverse=True):
        result.insert(result.index(axis + 1) if axis + 1 < rank else len(result), axis)
    return tuple(result)


def as_pixels(node: ir.Node, to: Lowering) -> Placed:
    """A node's first input (N, C, ...) as an image (N, H, W, C); any number of spatial axes becomes one row."""
    value = node.inputs[0]
    placed = to.operand(value, axes=channels_last(rank(value)))
    if rank(value) == 4:
        return placed
    n, *spatial, channels = placed.shape
    reshape = Reshape(to=(to.leading(n), 1, math.prod(spatial), channels))
    return to.step(node, reshape, [placed], placed.params)


def from_pixels(node: ir.Node, to: Lowering, operator: Operator, x: Placed) -> None:
    """Emit an operator that works pixel by pixel as the node's result, with the axes that its first input has."""
    value, full = to.result(node).value, rank(node.inputs[0])
    if full == 4:
        to.emit(node, operator, [x], value, channels_last(4))
        return
    image = to.step(node, operator, [x], to.result(node).params)
    n, *rest = (shape(value)[axis] for axis in channels_last(full))
    to.emit(node, Reshape(to=(to.leading(n), *rest)), [image], value, channels_last(full))
