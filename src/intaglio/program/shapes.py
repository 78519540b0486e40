"""Shapes that broadcast, and axes within a rank."""

from __future__ import annotations

from itertools import zip_longest

from intaglio.program.operator import Operator, Shape


def broadcast(operator: Operator, *shapes: Shape) -> Shape:
    """The shape that these broadcast to, as NumPy does.

    Raises:
        ProgramError: they do not fit each other.
    """
    out = []
    for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        found = {size for size in sizes if size != 1}
        operator.expect(len(found) <= 1, f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        out.append(found.pop() if found else 1)
    return tuple(reversed(out))


def check_axes(operator: Operator, axes: tuple[int, ...], rank: int) -> None:
    """Refuse axes that repeat or are outside 0 to rank - 1.

    Raises:
        ProgramError: named after the operator.
    """
    operator.expect(
        len(set(axes)) == len(axes) and all(0 <= axis < rank for axis in axes),
        f"expected different axes from 0 to {rank - 1}, got {axes}",
    )


def reduced(shape: Shape, axes: tuple[int, ...], *, keepdims: bool) -> Shape:
    """The shape that is left when `axes` are reduced."""
    if keepdims:
        return tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    return tuple(n for axis, n in enumerate(shape) if axis not in axes)
