"""Types of a Program's inputs and outputs: another integer type for the same numbers, or float32 in generated C.

    uint8 from int8:  code + 128, and zero point + 128        int16:  code - zero point, and zero point 0

Each real number keeps its integer: codes are moved, never rounded; those beyond the network's own grid saturate, as
real numbers do. TFLite's `inference_input_type` and `inference_output_type` choose the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias, TypeVar

import numpy as np

from intaglio.errors import LoweringError, UsageError
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams
from intaglio.program.operators.requantize import Requantize
from intaglio.program.other_grid import input_from_grid, output_to_grid
from intaglio.program.structure import ProgramStructure, TensorInfo

FLOAT = "float32"
IO_TYPES: dict[str, IntType | None] = {FLOAT: None, "int8": INT8, "uint8": UINT8, "int16": INT16}
"""Types that an input or output can have, by the name of their dtype; None: a float in generated C."""

IOTypes: TypeAlias = str | Mapping[str, str] | None

_Program = TypeVar("_Program", bound=ProgramStructure)


def with_io_types(program: _Program, inputs: IOTypes = None, outputs: IOTypes = None) -> _Program:
    """Give inputs and outputs another type.

    Args:
        program: the Program.
        inputs: float32, int8, uint8 or int16 for every input of real numbers that is no state; or the types of some
            inputs by name. None leaves them as they are.
        outputs: the same of outputs.
    Returns:
        A Program with the same names and shapes, whose inputs and outputs have these types: `run` gives the same
        numbers, `run_int` and generated C take and give the codes. An input or output of float32 keeps its codes in
        `run_int`; generated C has a function `<prefix>_run_float` that takes and gives it as float.
    Raises:
        UsageError: an unknown name or type, integers that are no quantized numbers (indices), a state, or a type that
            does not hold every code of the network's own grid.
    """
    ends = (("input", program.inputs, inputs), ("output", program.outputs, outputs))
    for kind, names, wanted in ends:
        for name, type in _chosen(program, kind, names, wanted).items():
            _check(program, kind, name)
            kept = tuple(end for end in program.float_ends if end != name)
            if type is None:
                program = replace(program, float_ends=(*kept, name))
            else:
                program = _with_type(replace(program, float_ends=kept), kind, name, type)
    return program


def _chosen(program: ProgramStructure, kind: str, names: tuple[str, ...], wanted: IOTypes) -> dict[str, IntType | None]:
    """The type of each end; one type for all leaves out what has no scale, and states."""
    if wanted is None:
        return {}
    if isinstance(wanted, str):
        states = {name for state in program.states for name in (state.input, state.output)}
        wanted = {n: wanted for n in names if program.tensors[n].params is not None and n not in states} or wanted
    if isinstance(wanted, str):
        raise UsageError(f"{kind} type: expected an {kind} of real numbers that is no state, got {', '.join(names)}")
    check_io_types(kind, names, wanted)
    return {name: IO_TYPES[type] for name, type in wanted.items()}


def check_io_types(kind: str, names: tuple[str, ...], wanted: Mapping[str, str]) -> None:
    """Check names and types.

    Args:
        kind: input or output.
        names: those of the network.
        wanted: type by name.
    Raises:
        UsageError: one is unknown.
    """
    if not isinstance(wanted, Mapping):
        raise UsageError(f"{kind} type: expected a name such as 'uint8', or types by name, got {wanted!r:.60}")
    for name, type in wanted.items():
        if name not in names:
            raise UsageError(f"{kind} type: expected one of the {kind}s {', '.join(names)}, got {name!r}")
        if type not in IO_TYPES:
            raise UsageError(f"{kind} '{name}': expected one of the types {', '.join(IO_TYPES)}, got {type!r}")


def _check(program: ProgramStructure, kind: str, name: str) -> None:
    info = program.tensors[name]
    if info.params is None:
        raise UsageError(
            f"{kind} '{name}': expected quantized real numbers, got plain integers (indices, lengths or conditions), "
            f"which stay {info.type}; leave out its type"
        )
    if any(name in (state.input, state.output) for state in program.states):
        raise UsageError(f"{kind} '{name}': expected no state, whose codes go back as they are; leave out its type")
    if name in program.constants or (name in program.inputs and name in program.outputs):
        raise UsageError(
            f"{kind} '{name}': expected an {kind} that the network computes with, got one that it hands on"
        )
    if info.params.scale.ndim:
        raise UsageError(f"{kind} '{name}': expected one scale, got {info.params.scale.size}; leave out its type")


def _with_type(program: _Program, kind: str, name: str, type: IntType) -> _Program:
    own = program.tensors[name]
    if (own.type.bits, own.type.signed) == (type.bits, type.signed):
        return program
    moved = _moved(own, kind, type)
    assert own.params is not None
    before, after = (moved, own.params) if kind == "input" else (own.params, moved)
    try:
        operator = Requantize.from_real(before, after, rule=program.rule)
    except LoweringError as error:
        raise UsageError(f"{kind} '{name}': expected a type that holds its codes, got {type} ({error})") from error
    change = input_from_grid if kind == "input" else output_to_grid
    return change(program, name, moved, operator)


def _moved(info: TensorInfo, kind: str, type: IntType) -> QuantParams:
    """The grid of the same step in another type."""
    assert info.params is not None
    own, zero_point = info.type, int(info.params.zero_point)
    other = 0 if type.bits == 16 else zero_point + (own.signed - type.signed) * 128
    low, high = (code - zero_point + other for code in (own.qmin, own.qmax))
    if not (type.qmin <= low and high <= type.qmax):
        raise UsageError(
            f"{kind} '{info.name}': expected a type that holds every code of the network's own, got {type} for {own}, "
            f"whose {own.bits} bits would be rounded; use {FLOAT} or {own}, or quantize with a format of {type.bits} "
            f"bits for it (--layer {info.name}=a{type.bits})"
        )
    return QuantParams(type, info.params.scale, np.array(other, np.int32))
