"""States of a Program: inputs that take what outputs gave in the step before.

Both are on one grid, so that integers go back as they are.

    step:  outputs(t), state(t + 1) = program(inputs(t), state(t)),   state(0) = initial
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.errors import LoweringError, UsageError
from intaglio.program.factors import same_params
from intaglio.program.input_ranges import input_ranges
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.transpose import Transpose
from intaglio.program.other_grid import output_to_grid
from intaglio.program.structure import ProgramState, ProgramStructure, TensorInfo

_Program = TypeVar("_Program", bound=ProgramStructure)
_MOVES = (Reshape, Slice, Transpose)


def with_states(
    program: _Program, states: Mapping[str, str], initial: Mapping[str, ArrayLike] | None = None
) -> _Program:
    """Declare which outputs go back into which inputs.

    An output on another grid than its input is requantized to the input's; where all that the network does first with
    the input is to bring it to the output's grid, the input takes that grid instead, and nothing is requantized.

    Args:
        program: the Program; it keeps no states.
        states: the output of each state by the name of its input.
        initial: real values that a stream begins with, by the name of the input, in a shape that fits it; the others
            begin with 0.
    Returns:
        A Program with these states, which have the input's and the output's names.
    Raises:
        UsageError: a name is unknown or repeats, or shapes or meaning of a pair differ.
        LoweringError: no integer factor leads from one grid to the other.
    """
    for what, names, example in (("states", states, "'h_out'"), ("initial", initial, "0.5")):
        if not isinstance(names, Mapping | None):
            raise UsageError(f"{what}: expected a mapping such as {{'h': {example}}}, got a {type(names).__name__}")
    check_pairs(program.inputs, program.outputs, states)
    initial = dict(initial or {})
    if unknown := [name for name in initial if name not in states]:
        raise UsageError(f"initial: expected names of states ({', '.join(states)}), got '{unknown[0]}'")
    if program.states:
        raise UsageError("states: expected a program without states, got one that has some; lower the network again")
    for given, result in states.items():
        program = _on_one_grid(program, given, result)
    return replace(
        program,
        states=tuple(
            ProgramState(given, result, _codes(program, program.tensors[given], initial.get(given, 0.0)))
            for given, result in states.items()
        ),
    )


def check_pairs(inputs: tuple[str, ...], outputs: tuple[str, ...], states: Mapping[str, str]) -> None:
    """Check the names of states.

    Raises:
        UsageError: there are none, or a name is unknown or repeats.
    """
    if not states:
        raise UsageError("states: expected at least one pair of an input and an output, got none")
    for kind, known, named in (("input", inputs, tuple(states)), ("output", outputs, tuple(states.values()))):
        for name in named:
            if name not in known:
                raise UsageError(f"states: expected an {kind} ({', '.join(known)}), got '{name}'")
            if named.count(name) > 1:
                raise UsageError(f"states: expected each {kind} in one state, got '{name}' in {named.count(name)}")


def _codes(program: ProgramStructure, info: TensorInfo, real: ArrayLike) -> NDArray[Any]:
    """The codes of an initial state."""
    try:
        array = np.asarray(real)
    except ValueError:  # lists of different lengths
        raise UsageError(f"initial: expected shape {info.shape} for '{info.name}', got {real!r}") from None
    if array.dtype.kind not in "fiub":
        raise UsageError(f"initial: expected real numbers for '{info.name}', got an array of {array.dtype}")
    try:
        whole = np.broadcast_to(array, info.shape)
    except ValueError:
        raise UsageError(f"initial: expected shape {info.shape} for '{info.name}', got {array.shape}") from None
    if not np.isfinite(whole).all():
        raise UsageError(f"initial: expected finite numbers for '{info.name}', got others")
    if info.params is not None:
        largest = np.finfo(np.float32).max
        return info.params.quantize(np.clip(whole, -largest, largest).astype(np.float32))
    low, high = input_ranges(program)[info.name]
    if (whole != np.rint(whole)).any() or (whole < low).any() or (whole > high).any():
        raise UsageError(f"initial: expected integers from {low} to {high} for '{info.name}', got others")
    return whole.astype(info.type.dtype)


def _on_one_grid(program: _Program, given: str, result: str) -> _Program:
    before, after = program.tensors[given], program.tensors[result]
    if before.shape != after.shape:
        raise UsageError(
            f"states: expected input '{given}' and output '{result}' of one shape, got {before.shape} and "
            f"{after.shape}; export the network for one step, with states of the same shape in and out"
        )
    if before.params is None or after.params is None:
        if before.params is None and after.params is None and before.type == after.type:
            return program
        raise UsageError(
            f"states: expected input '{given}' and output '{result}' both as real numbers, or both as integers of one "
            f"type, got {_meaning(before)} and {_meaning(after)}"
        )
    if before.type == after.type and same_params(before.params, after.params):
        return program
    moved = _input_on_grid(program, given, after)
    return _output_on_grid(program, result, before) if moved is None else moved


def _meaning(info: TensorInfo) -> str:
    return f"integers of type {info.type}" if info.params is None else "real numbers"


def _input_on_grid(program: _Program, given: str, grid: TensorInfo) -> _Program | None:
    """Give an input another grid where every path from it leads through moves to a change to that grid."""
    assert grid.params is not None
    tensors, changes, waiting = dict(program.tensors), {}, [given]
    while waiting:
        name = waiting.pop()
        if name in program.outputs:
            return None
        tensors[name] = replace(tensors[name], type=grid.type, params=grid.params)
        for node in program.nodes:
            if name not in node.inputs:
                continue
            made = program.tensors[node.output]
            if isinstance(node.operator, _MOVES):
                waiting.append(node.output)
            elif (
                isinstance(node.operator, Requantize)
                and made.params is not None
                and made.type == grid.type
                and same_params(made.params, grid.params)
                and (node.operator.low, node.operator.high) == (grid.type.qmin, grid.type.qmax)
                and node.output not in program.outputs
            ):
                changes[node.output] = name
            else:
                return None
    nodes = [
        replace(node, inputs=tuple(changes.get(name, name) for name in node.inputs))
        for node in program.nodes
        if node.output not in changes
    ]
    for name in changes:
        del tensors[name]
    return replace(program, nodes=nodes, tensors=tensors)


def _output_on_grid(program: _Program, result: str, grid: TensorInfo) -> _Program:
    """Requantize an output."""
    info = program.tensors[result]
    assert info.params is not None and grid.params is not None
    try:
        operator = Requantize.from_real(info.params, grid.params, rule=program.rule)
    except LoweringError as error:
        raise LoweringError(f"state '{grid.name}' from '{result}': {error}") from error
    if result in program.inputs or result in program.constants:
        raise UsageError(f"states: expected an output that the network computes, got '{result}', which it is given")
    return output_to_grid(program, result, grid.params, operator)
