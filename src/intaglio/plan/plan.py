"""The Plan: how each value of a Graph is represented, where its parameters come from, and why."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from intaglio.errors import ExportError, PlanError, UsageError
from intaglio.files import whole_file
from intaglio.files.reading import UnreadableError, parse_json, readable
from intaglio.number import QuantParams, Rule
from intaglio.ops import Role
from intaglio.plan.plan_records import (
    OperatorPlan,
    Source,
    ValuePlan,
    check_keys,
    operator_from_json,
    value_from_json,
    value_to_json,
)
from intaglio.tables import clean, text_table

_Record = TypeVar("_Record")
FORMAT_VERSION = 1


@dataclass(repr=False)
class Plan:
    """The representation of every value and operator of one Graph; plain data.

    Args:
        target: name of the target that it was made for.
        rule: the rounding rule.
        accumulator: bits of the accumulator.
        values: by Graph value name, weights included.
        operators: by Graph node name.
    """

    target: str
    rule: Rule
    accumulator: int = 32
    values: dict[str, ValuePlan] = field(default_factory=dict)
    operators: dict[str, OperatorPlan] = field(default_factory=dict)

    def root(self, name: str) -> ValuePlan:
        """Find the value that owns the parameters of a value, through any chain of sharing."""
        value = self[name]
        while value.source is Source.SHARED:
            value = self[value.of[0]]
        return value

    def params(self, name: str) -> QuantParams | None:
        """Get the parameters of a value; None where it is fused, plain, or not calibrated yet."""
        return self.root(name).params

    def __getitem__(self, name: str) -> ValuePlan:
        """Get the plan of a value by its name.

        Raises:
            PlanError: the Plan has no such value.
        """
        try:
            return self.values[name]
        except KeyError:
            inside = [value for value in self.values if value.startswith(f"{name}.")]  # such as 5.equalized for 5
            near = inside[:3] or difflib.get_close_matches(name, self.values, n=3)
            hint = f", or the name is another: {', '.join(near)}" if near else ""
            if name in self.operators:
                hint += "; a layer of this name is in plan.operators"
            raise PlanError(
                f"[value {name!r}] the Plan has no such value; it was made for another Graph{hint}"
            ) from None

    def calibrated(self, role: Role = Role.ACTIVATION) -> Iterator[ValuePlan]:
        """List the values of a role whose ranges calibration finds, each once."""
        return (v for v in self.values.values() if v.source is Source.OWN and v.role is role)

    def fixed(self) -> Iterator[ValuePlan]:
        """List the values whose parameters are known without data."""
        return (v for v in self.values.values() if v.source is Source.FIXED)

    def copy(self) -> Plan:
        """Make an independent copy (parameters are immutable and shared)."""
        return dataclasses.replace(
            self,
            values={k: dataclasses.replace(v) for k, v in self.values.items()},
            operators={k: dataclasses.replace(v) for k, v in self.operators.items()},
        )

    def __repr__(self) -> str:
        return f"Plan({self._line()})"

    def _line(self) -> str:
        left = sum(not operator.integer for operator in self.operators.values())
        integer = "all integer" if not left else f"{left} of them not integer"
        return clean(f"{self.target}, {len(self.values)} values, {len(self.operators)} operators, {integer}")

    def summary(self) -> str:
        """Table of the values: format, where the parameters come from, scale and zero point."""
        rows = []
        for value in self.values.values():
            format = "" if value.format is None else str(value.format)
            source = " ".join((value.source.value, *value.of))
            rows.append((value.name, value.role.value, format, source, *_parameters(self.root(value.name).params)))
        headings = ("value", "role", "format", "parameters", "scale", "zero point")
        return text_table(self._line(), headings, rows)

    def to_json(self) -> str:
        """Write the Plan as JSON text; `from_json` reads it back, equal in every parameter."""
        return json.dumps(
            {
                "format": "intaglio-plan",
                "version": FORMAT_VERSION,
                "target": self.target,
                "rule": self.rule.value,
                "accumulator": self.accumulator,
                "values": [value_to_json(v) for v in self.values.values()],
                "operators": [dataclasses.asdict(o) for o in self.operators.values()],
            },
            indent=1,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .json file, which people can edit and `intaglio.load_plan` reads.

        Raises:
            ExportError: the file cannot be written.
        """
        target = Path(path)
        try:
            with whole_file(target) as written:
                written.write_text(self.to_json(), encoding="utf-8")
        except OSError as error:
            raise ExportError(f"{target}: expected to write the Plan here, got: {error.strerror or error}") from error

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            PlanError: the text is not a Plan, or one of a newer version.
        """
        try:
            data = parse_json(text)
            if not isinstance(data, dict) or data.get("format") != "intaglio-plan":
                raise UsageError('expected an object with "format": "intaglio-plan", got none')
            if not isinstance(data.get("version"), int) or data["version"] > FORMAT_VERSION:
                raise PlanError(
                    f"plan: expected format intaglio-plan up to version {FORMAT_VERSION}, "
                    f"got {data['format']!r} version {data.get('version')!r}; use a newer intaglio"
                )
            check_keys(data, ("format", "version", "target", "rule", "accumulator", "values", "operators"))
            values = [_record("value", v, value_from_json) for v in data["values"]]
            operators = [_record("operator", o, operator_from_json) for o in data["operators"]]
            with readable():
                return cls(
                    data["target"],
                    Rule(data["rule"]),
                    data["accumulator"],
                    {v.name: v for v in values},
                    {o.name: o for o in operators},
                )
        except (UnreadableError, UsageError) as error:
            raise PlanError(f"plan: not a Plan that `Plan.to_json` wrote ({error})") from None


def _record(kind: str, data: Any, read: Callable[[Any], _Record]) -> _Record:
    """Read the record of a value or operator; an error names it."""
    try:
        with readable():
            return read(data)
    except (UnreadableError, UsageError) as error:
        name = data.get("name", "without a name") if isinstance(data, dict) else data
        raise PlanError(f"plan: [{kind} {name!r:.80}] {error}") from None


def _parameters(params: QuantParams | None) -> tuple[str, str]:
    """Format a scale and a zero point; of several, the smallest and the largest."""
    if params is None:
        return "-", "-"
    scale, zero_point = params.scale, params.zero_point
    texts = [f"{a.min():.5g}" if a.min() == a.max() else f"{a.min():.5g} to {a.max():.5g}" for a in (scale, zero_point)]
    return texts[0], texts[1]


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a Plan from a .json file: the plan.json that `intaglio quantize` wrote, or what `Plan.save` did.

    Raises:
        PlanError: the file cannot be read, or is no Plan.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PlanError(
            f"{Path(path)}: expected a Plan such as plan.json, got one that cannot be read ({reason})"
        ) from None
    try:
        return Plan.from_json(text)
    except PlanError as error:
        raise PlanError(f"{Path(path)}: {error}") from None
