"""How one value or operator of a Graph is represented, as records of a Plan."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from intaglio.errors import UsageError
from intaglio.number import Granularity, IntType, PerTensor, QuantParams, Scheme
from intaglio.number.granularity import granularity_from_json, granularity_to_json
from intaglio.ops import Role

PER_TENSOR = PerTensor()
_Kind = TypeVar("_Kind", bound=Enum)


class Source(Enum):
    """Where a value's parameters come from."""

    OWN = "own"  # found for this value: by calibration, or from its constants
    SHARED = "shared"  # the parameters of another value
    DERIVED = "derived"  # computed from those of others (a bias)
    FIXED = "fixed"  # known from mathematics, or fixed by the target
    FUSED = "fused"  # no representation of its own: it lives in the accumulator until the fused activation
    PLAIN = "plain"  # integers that do not stand for real numbers, such as indices


@dataclass(frozen=True)
class Format:
    """A number format: type, scheme and granularity."""

    type: IntType
    scheme: Scheme
    granularity: Granularity = PER_TENSOR

    def __str__(self) -> str:
        match self.granularity:
            case PerTensor():
                per = "per tensor"
            case other:
                per = f"per {other.__class__.__name__.removeprefix('Per').lower()}"
        return f"{self.type} {self.scheme.value} {per}"


@dataclass
class ValuePlan:
    """How one value is represented.

    Args:
        name: of the Graph value.
        role: its role in the operator that reads it (weight, bias, ...), or ACTIVATION.
        source: where its parameters come from.
        format: number format; None for fused and plain values, which have none.
        of: the values that `source` refers to: shared with, derived from, fused into.
        calibrator: name of the calibrator that finds its range; None if the range is not calibrated.
        params: the parameters, once known.
        why: one sentence.
    """

    name: str
    role: Role
    source: Source
    why: str
    format: Format | None = None
    of: tuple[str, ...] = ()
    calibrator: str | None = None
    params: QuantParams | None = None


@dataclass(frozen=True)
class TableError:
    """The error of a table against the exact function, in output steps, over every code of the input.

    Args:
        entries: length of the table: codes, or knots for interpolation.
        largest, rms: the largest difference, and the root of the mean square; rounding alone is up to 0.5, and 0.29.
    """

    entries: int
    largest: float
    rms: float


@dataclass
class OperatorPlan:
    """How one operator runs: as integers or why not, the activations fused into it, and the error of its table."""

    name: str
    op_type: str
    integer: bool = True
    why: str = ""
    fused: tuple[str, ...] = ()  # names of the clamp nodes that are this operator's saturation
    table: TableError | None = None


def value_to_json(value: ValuePlan) -> dict[str, Any]:
    """Return plain data."""
    fmt = value.format
    return {
        "name": value.name,
        "role": value.role.value,
        "source": value.source.value,
        "why": value.why,
        "format": fmt
        and {
            "type": fmt.type.name,
            "scheme": fmt.scheme.value,
            "granularity": granularity_to_json(fmt.granularity),
        },
        "of": list(value.of),
        "calibrator": value.calibrator,
        "params": value.params and value.params.to_json(),
    }


def value_from_json(data: dict[str, Any]) -> ValuePlan:
    """Read what `value_to_json` returned.

    Raises:
        UsageError: a key is missing or unknown, or has something that it cannot have.
    """
    check_keys(data, ("name", "role", "source", "why", "format", "of", "calibrator", "params"))
    fmt, params = data["format"], data["params"]
    if fmt is not None:
        check_keys(fmt, ("type", "scheme", "granularity"), "format")
    if params is not None:
        check_keys(params, ("type", "granularity", "scale", "zero_point"), "params")
    return ValuePlan(
        name=data["name"],
        role=_member(Role, data["role"], "role"),
        source=_member(Source, data["source"], "source"),
        why=data["why"],
        format=fmt
        and Format(
            IntType.parse(fmt["type"]),
            _member(Scheme, fmt["scheme"], "scheme"),
            granularity_from_json(fmt["granularity"]),
        ),
        of=tuple(data["of"]),
        calibrator=data["calibrator"],
        params=params and QuantParams.from_json(params),
    )


def operator_from_json(data: dict[str, Any]) -> OperatorPlan:
    """Read an operator from plain data."""
    table = data.get("table")
    return OperatorPlan(**{**data, "fused": tuple(data["fused"]), "table": table and TableError(**table)})


def check_keys(data: Any, wanted: Collection[str], where: str = "") -> None:
    """Check that plain data have these keys and no others.

    Args:
        data: as a person may have written them.
        wanted: the keys.
        where: the key that has the data.
    Raises:
        UsageError: a key is missing or unknown.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(data, dict):
        raise UsageError(f"{prefix}expected an object with the keys {', '.join(wanted)}, got {data!r:.60}")
    if unknown := [key for key in data if key not in wanted]:
        near = difflib.get_close_matches(unknown[0], wanted, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{prefix}expected the keys {', '.join(wanted)}, got {unknown[0]!r}{hint}")
    if missing := [key for key in wanted if key not in data]:
        raise UsageError(f"{prefix}expected the keys {', '.join(wanted)}, got no {missing[0]!r}")


def _member(kind: type[_Kind], text: Any, key: str) -> _Kind:
    """Get the member of an enumeration that a text names."""
    names = [member.value for member in kind]
    if text not in names:
        raise UsageError(f"{key}: expected one of {', '.join(names)}, got {text!r}")
    return kind(text)
