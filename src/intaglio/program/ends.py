"""What a Program's inputs and outputs shall be: states of a stream, and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from intaglio.errors import UsageError
from intaglio.program.io_types import FLOAT, IO_TYPES, check_io_types, with_io_types
from intaglio.program.states import check_pairs, with_states
from intaglio.program.structure import ProgramStructure

_Program = TypeVar("_Program", bound=ProgramStructure)


@dataclass(frozen=True)
class Ends:
    """States and types, applied to a Program after each other.

    Args:
        states: the output of each state by the name of its input; empty: those that the Program declares.
        inputs, outputs: types by name; the key None is for all others (see `io_types.with_io_types`).
    """

    states: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str | None, str] = field(default_factory=dict)
    outputs: Mapping[str | None, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.states or self.inputs or self.outputs)

    def check(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Check names and types before a network is quantized.

        Raises:
            UsageError: a name or a type is unknown.
        """
        if self.states:
            check_pairs(tuple(inputs), tuple(outputs), self.states)
        for kind, names, wanted in (("input", inputs, self.inputs), ("output", outputs, self.outputs)):
            check_io_types(kind, tuple(names), {n: t for n, t in wanted.items() if n is not None})
            if None in wanted and wanted[None] not in IO_TYPES:
                raise UsageError(f"{kind} type: expected {', '.join(IO_TYPES)}, got {wanted[None]!r}")

    def apply(self, program: _Program) -> _Program:
        """Return the Program with these states and types.

        Raises:
            LoweringError, UsageError: as `states.with_states` and `io_types.with_io_types`.
        """
        self.check(program.inputs, program.outputs)
        if self.states:
            program = with_states(program, self.states)
        for all in (True, False):
            inputs, outputs = (
                wanted.get(None) if all else {n: t for n, t in wanted.items() if n is not None}
                for wanted in (self.inputs, self.outputs)
            )
            program = with_io_types(program, inputs, outputs)
        return program

    def sentences(self, program: ProgramStructure) -> list[str]:
        """Say what the Program's ends are, for the history."""
        told = [
            f"the program keeps what output '{state.output}' gives for input '{state.input}' of the next step"
            for state in program.states
            if self.states
        ]
        kept = {name for state in program.states for name in (state.input, state.output)}
        for kind, names, wanted in (
            ("input", program.inputs, self.inputs),
            ("output", program.outputs, self.outputs),
        ):
            for name in names:
                info = program.tensors[name]
                if (name not in wanted and None not in wanted) or info.params is None or name in kept:
                    continue
                real = f"; generated C also has it as {FLOAT}" if name in program.float_ends else ""
                told.append(f"{kind} '{name}' has codes of {info.type}, zero point {info.params.zero_point}{real}")
        return told


NO_CHANGE = Ends()
