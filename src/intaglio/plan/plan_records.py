"""How one value or operator of a Graph is represented, as records of a Plan."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from intaglio.number import Granularity, IntType, PerTensor, QuantParams, Scheme
from intaglio.number.granularity import granularity_from_json, granularity_to_json
from intaglio.ops import Role

PER_TENSOR = PerTensor()


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
    """Read what `value_to_json` returned."""
    fmt = data["format"]
    return ValuePlan(
        name=data["name"],
        role=Role(data["role"]),
        source=Source(data["source"]),
        why=data["why"],
        format=fmt
        and Format(
            IntType.parse(fmt["type"]),
            Scheme(fmt["scheme"]),
            granularity_from_json(fmt["granularity"]),
        ),
        of=tuple(data["of"]),
        calibrator=data["calibrator"],
        params=data["params"] and QuantParams.from_json(data["params"]),
    )


def operator_from_json(data: dict[str, Any]) -> OperatorPlan:
    """Read an operator from plain data."""
    table = data.get("table")
    return OperatorPlan(**{**data, "fused": tuple(data["fused"]), "table": table and TableError(**table)})
