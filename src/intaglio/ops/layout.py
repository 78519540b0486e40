"""Orders of axes: what an operator needs of its operands' memory, and how axes are renumbered."""

from __future__ import annotations

import math
from collections.abc import Iterable

from intaglio.ops.float_operator import Axes

Shape = tuple[int, ...]


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
    return _filled([old[axis] for axis in order], rank)


def _filled(order: list[int], rank: int) -> Axes:
    """An order of some of `rank` axes with the others in it, each in front of the one that it precedes."""
    result = list(order)
    for axis in reversed(range(rank)):
        if axis not in order:
            result.insert(result.index(axis + 1) if axis + 1 < rank else len(result), axis)
    return tuple(result)


def reshaped(order: Axes, source: Shape, target: Shape) -> tuple[Axes, Axes]:
    """How a Reshape goes without leaving an order of axes, as far as it can.

    A Reshape merges and splits runs of axes; what matters is that the axes of one run lie side by side in memory. Of an
    image (N, C, H, W) stored as (N, H, W, C), H and W may become one axis and C two, and nothing moves.

    Args:
        order: of the input's axes.
        source, target: shapes in the Graph's order; axis 0 is a run of its own where both have the same size there.
    Returns:
        The order that the input needs, and the order in which the output then lies.
    """
    runs = _runs(source, target)
    needed: list[int] = []
    made: list[int] = []
    for axis in order:
        run = next(((old, new) for old, new in runs if axis in old), ((axis,), ()))
        if axis not in needed:
            needed += run[0]
            made += run[1]
    return tuple(needed), _filled(made, len(target))


def _runs(source: Shape, target: Shape) -> list[tuple[Axes, Axes]]:
    """Axes of the input and the axes of the output that they become; axes of size 1 come and go unmentioned."""
    runs: list[tuple[Axes, Axes]] = []
    start = int(bool(source) and source[:1] == target[:1])
    if start:
        runs.append(((0,), (0,)))
    left = [axis for axis in range(start, len(source)) if source[axis] != 1]
    right = [axis for axis in range(start, len(target)) if target[axis] != 1]
    while left:
        old, new = [left.pop(0)], [right.pop(0)]
        while (a := math.prod(source[i] for i in old)) != (b := math.prod(target[i] for i in new)):
            if a < b:
                old.append(left.pop(0))
            else:
                new.append(right.pop(0))
        runs.append((tuple(old), tuple(new)))
    return runs
