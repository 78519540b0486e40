"""A planned model: what the text of its C is made from."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.codegen.machine import Machine
from intaglio.codegen.memory import Arena
from intaglio.codegen.schedule import Schedule
from intaglio.codegen.steps import Step
from intaglio.codegen.views import Layout
from intaglio.program import Program

WRITTEN_BY = "Written by Intaglio; do not edit. Integers only: the same ones on every processor."


@dataclass(frozen=True)
class Model:
    """Everything that the text is made from.

    Args:
        program: the Program.
        prefix: of every public name; a C identifier.
        machine: what it is for.
        steps: in order.
        layout: which tensors are parts of others.
        schedule: how the order of steps was found.
        arena: offsets of the tensors in between, and of `scratch <step>`.
        variants: the same for each of the machines that this one may turn out to be at run time, best first; then
            steps and arena are those of the last.
    """

    program: Program
    prefix: str
    machine: Machine
    steps: tuple[Step, ...]
    layout: Layout
    arena: Arena
    schedule: Schedule
    variants: tuple[Model, ...] = ()

    @property
    def all(self) -> tuple[Model, ...]:
        """Its variants, or itself alone."""
        return self.variants or (self,)

    @property
    def macro(self) -> str:
        """The prefix of its macros."""
        return self.prefix.upper()
