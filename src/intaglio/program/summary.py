"""A Program in one line, and as a table of its operators."""

from __future__ import annotations

from collections.abc import Iterable

from intaglio.program import file_writer
from intaglio.program.structure import ProgramStructure, TensorInfo
from intaglio.program.weighted import Weighted
from intaglio.tables import clean, text_table


def one_line(program: ProgramStructure) -> str:
    """Name, target, size and ends of a Program."""
    name = program.metadata.get("name", "")
    ends = f"{_ends(program, program.inputs)} -> {_ends(program, program.outputs)}"
    named = f"{name!r}, " if name else ""
    size = f"{file_writer.parameter_bytes(program):,} parameter bytes"
    return clean(f"{named}{program.target}, {len(program.nodes)} operators, {ends}, {size}")


def operator_table(program: ProgramStructure) -> str:
    """One row for each operator, in execution order."""
    rows = []
    for node in program.nodes:
        operator, out = node.operator, program.tensors[node.output]
        macs = operator.macs(*(program.tensors[name].shape for name in node.inputs))
        weights = operator.weight_type.name if isinstance(operator, Weighted) else ""
        rows.append((node.name, operator.kind, by_x(out.shape), out.type.name, weights, f"{macs:,}"))
    return text_table(one_line(program), ("node", "operator", "output", "type", "weights", "MAC"), rows)


def by_x(shape: Iterable[int]) -> str:
    """Format a shape as `1x3x8x8`."""
    return "x".join(map(str, shape)) or "one number"


def _ends(program: ProgramStructure, names: Iterable[str]) -> str:
    return ", ".join(_end(program.tensors[name]) for name in names)


def _end(info: TensorInfo) -> str:
    return f"{info.name} {info.type.name} {by_x(info.shape)}"
