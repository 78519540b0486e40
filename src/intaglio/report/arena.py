"""A Program's memory over time, for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intaglio.report import words

if TYPE_CHECKING:
    from intaglio.program import Program


def arena_over_time(program: Program, machine: str = "host") -> dict[str, Any]:
    """The memory plan of a Program.

    Args:
        program: that the verifier accepts.
        machine: a name that `codegen.machine` knows.
    Raises:
        CompileError: the machine cannot hold or run the Program.
    """
    from intaglio.codegen.build import plan
    from intaglio.codegen.machine import machine as find_machine
    from intaglio.codegen.picture import describe_arena

    return describe_arena(plan(program, find_machine(machine)))


def arena_picture(arena: Mapping[str, Any], title: str) -> str:
    """The same as SVG text, with names of one visible line each."""
    from intaglio.codegen.svg import svg_picture

    return "\n".join(words.clean(line) for line in svg_picture(arena, words.clean(title)).splitlines())
