"""What the integers of an operator's fields may be.

Every `int` and every tuple of `int` among an operator's fields carries its bound in its annotation:

    axis: Axis
    strides: tuple[Count, ...]
    left_shift: Annotated[int, Bound(0, 20)]

The verifier holds every field to its bound. C keeps these fields in int32, so no bound goes beyond it but where the
kernel's struct says int64.
"""

from __future__ import annotations

import dataclasses
import types
from functools import cache
from typing import TYPE_CHECKING, Annotated, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from intaglio.program.operator import Operator

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
MAX_RANK = 8


@dataclasses.dataclass(frozen=True)
class Bound:
    """The smallest and the largest value, both allowed."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


Axis = Annotated[int, Bound(0, MAX_RANK - 1)]
Code = Annotated[int, Bound(INT32_MIN, INT32_MAX)]  # of a tensor's type, to which the verifier holds it more closely
Count = Annotated[int, Bound(1, INT32_MAX)]
Amount = Annotated[int, Bound(0, INT32_MAX)]
Offset = Annotated[int, Bound(-INT32_MAX, INT32_MAX)]
Size = Annotated[int, Bound(-1, INT32_MAX)]  # -1: follows the batch


@cache
def field_bounds(operator: type[Operator]) -> dict[str, Bound]:
    """The bound of every integer field, by name."""
    hints = get_type_hints(operator, include_extras=True)
    found = {}
    for field in dataclasses.fields(operator):
        hint = hints[field.name]
        if get_origin(hint) in (Union, types.UnionType) and field.default is None:
            hint = get_args(hint)[0]
        if get_origin(hint) is tuple:
            hint = get_args(hint)[0]
        bounds = [extra for extra in get_args(hint)[1:] if isinstance(extra, Bound)]
        assert bounds or hint is not int, f"{operator.__name__}.{field.name}: give its integers a bound"
        if bounds:
            (found[field.name],) = bounds
    return found


def bound_problem(operator: Operator) -> str | None:
    """The first field that leaves its bound, in words; None where all keep theirs."""
    for name, bound in field_bounds(type(operator)).items():
        value = getattr(operator, name)
        if value is None:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, bool) or not bound.low <= item <= bound.high:
                return f"{name}: expected {bound}, got {item}"
    return None
