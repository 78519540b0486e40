"""Numbers: the real values of all outputs."""

from __future__ import annotations

import math

from intaglio.app.class_output import display_factor
from intaglio.app.pieces import Piece
from intaglio.program import Program


def number_output(program: Program) -> Piece:
    """Make the piece that shows every output as a line of numbers.

    Raises:
        CompileError: an output has several scales.
    """
    tables, body = "", ""
    for i, name in enumerate(program.outputs):
        info = program.tensors[name]
        factor, decimals, zero_point = display_factor(info)
        values = f"{math.prod(info.shape)}, INT64_C({factor}), {zero_point}, {decimals}"
        tables += f"static const struct number_settings numbers{i} = {{{values}}};\n"
        body += f"    show_numbers(&numbers{i}, code{i}, print);\n"
    return Piece(("show_numbers",), body, tables)
