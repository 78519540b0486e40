"""Options that say what inputs and outputs of a program are: states of a stream, and types."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from intaglio.errors import UsageError
from intaglio.program import Program
from intaglio.program.ends import Ends
from intaglio.program.io_types import IO_TYPES

if TYPE_CHECKING:
    from intaglio.workflow.open_model import Opened

_TYPES = "|".join(IO_TYPES)


def add_end_options(parser: argparse.ArgumentParser, states: str) -> None:
    """Add `--state`, whose help is given, `--input-dtype` and `--output-dtype`."""
    parser.add_argument("--state", action="append", default=[], metavar="INPUT=OUTPUT", help=states)
    for kind, taken in (("input", "takes"), ("output", "gives")):
        parser.add_argument(
            f"--{kind}-dtype",
            action="append",
            default=[],
            metavar="[NAME=]TYPE",
            help=f"type in which the program {taken} its {kind}s, or the {kind} NAME: {_TYPES}, the same real numbers "
            "with another zero point; float32: C functions that take and give floats (may be repeated)",
        )


def parse_ends(args: argparse.Namespace) -> Ends:
    """Parse the options.

    Raises:
        UsageError: one has another form, names something twice, or an unknown type.
    """
    return Ends(
        parse_states(args.state), *(_types(kind, getattr(args, f"{kind}_dtype")) for kind in ("input", "output"))
    )


def with_ends(model: Opened, ends: Ends) -> tuple[Opened, dict[str, str]]:
    """Apply the options to a program, and return it with the states that are still to be kept.

    Raises:
        UsageError: types for a model that is no program, whose inputs and outputs are real numbers.
    """
    if isinstance(model, Program):
        return ends.apply(model), {}
    if ends.inputs or ends.outputs:
        raise UsageError(
            f"--input-dtype, --output-dtype: expected a program (.intaglio), got a {type(model).__name__}, which takes "
            "and gives real numbers; `intaglio quantize` writes a program of these types"
        )
    return model, dict(ends.states)


def parse_states(texts: list[str]) -> dict[str, str]:
    """Parse `INPUT=OUTPUT` options into the output of each state by the name of its input."""
    states: dict[str, str] = {}
    for text in texts:
        name, equals, output = text.partition("=")
        if not equals or not name or not output:
            raise UsageError(f"--state: expected INPUT=OUTPUT such as state=state_out, got {text!r}")
        if name in states:
            raise UsageError(f"--state: expected one output for '{name}', got another with {text!r}")
        states[name] = output
    return states


def _types(kind: str, texts: list[str]) -> dict[str | None, str]:
    types: dict[str | None, str] = {}
    for text in texts:
        name, _, type = text.rpartition("=")
        if type not in IO_TYPES:
            raise UsageError(f"--{kind}-dtype: expected {' or '.join(IO_TYPES)}, such as {kind}=uint8, got {text!r}")
        if (name or None) in types:
            whom = f"'{name}'" if name else f"all {kind}s"
            raise UsageError(f"--{kind}-dtype: expected one type for {whom}, got another with {text!r}")
        types[name or None] = type
    return types
