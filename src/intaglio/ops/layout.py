"""Orders of axes: what an operator needs of its operands' memory, and how axes are renumbered."""

from __future__ import annotations

from collections.abc import Iterable

from intaglio.ops.operator import Axes


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
