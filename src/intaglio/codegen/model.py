"""Planned model, from which the C text is generated."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.codegen.machine import Machine
from intaglio.codegen.memory import Arena
from intaglio.codegen.schedule import TaskOrder
from intaglio.codegen.steps import ProgramStep
from intaglio.codegen.views import ViewLayout
from intaglio.program import Program

WRITTEN_BY = "Written by Intaglio; do not edit. Integers only: the same ones on every processor."


@dataclass(frozen=True)
class Model:
    """Program planned for a machine.

    Args:
        program: the Program.
        prefix: prefix of every public name; a C identifier.
        machine: the machine.
        steps: steps in execution order.
        layout: views: tensors that are parts of others.
        schedule: order of steps and its peak.
        arena: offsets of intermediate tensors and of `scratch <step>`.
        variants: models for each of the machine's variants, best first; then steps and arena are those of the last.
    """

    program: Program
    prefix: str
    machine: Machine
    steps: tuple[ProgramStep, ...]
    layout: ViewLayout
    arena: Arena
    schedule: TaskOrder
    variants: tuple[Model, ...] = ()

    @property
    def all(self) -> tuple[Model, ...]:
        """The variants, or this model if there are none."""
        return self.variants or (self,)

    @property
    def macro(self) -> str:
        """Prefix of its macros."""
        return self.prefix.upper()
