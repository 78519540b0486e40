"""Draw a Program's memory use over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intaglio.report import words

if TYPE_CHECKING:
    from intaglio.program import Program


def arena_over_time(program: Program, machine: str = "host") -> dict[str, Any]:
    """Return the memory plan of a Program as plain data.

    Args:
        program: a valid Program.
        machine: a machine name known to `codegen.machine`.
    Raises:
        CompileError: the machine cannot hold or run the Program.
    """
    from intaglio.codegen.build import plan
    from intaglio.codegen.machine import machine as find_machine
    from intaglio.codegen.picture import describe_arena

    return describe_arena(plan(program, find_machine(machine)))


def arena_picture(arena: Mapping[str, Any], title: str) -> str:
    """Draw the memory plan as SVG text; control characters in names are replaced."""
    from intaglio.codegen.svg import svg_picture

    return "\n".join(words.clean(line) for line in svg_picture(arena, words.clean(title)).splitlines())
