"""Classes: names and scores of the best classes, from the codes of an output, in integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from intaglio.app.pieces import Piece, c_string
from intaglio.codegen.text import array_text
from intaglio.data.postprocess import ClassOutput
from intaglio.errors import CompileError
from intaglio.program import Program, TensorInfo

FRACTION = 30  # fraction bits of exp; `show_classes.c`
_KEEP_ORDER = ("reshape", "transpose", "requantize")
_LARGEST_SCALE = 1 << 28  # (code - zero point) * scale * 2**16 stays below 2**63


def class_output(program: Program, which: int, wanted: ClassOutput, names: tuple[str, ...] | None) -> Piece:
    """Make the piece that shows classes.

    Args:
        program: the Program.
        which: index of the output with the scores.
        wanted: what to show.
        names: names of the classes; None: their numbers.
    Raises:
        CompileError: the output does not hold one score per class, or there are too few names.
    """
    info = program.tensors[program.outputs[which]]
    classes = math.prod(info.shape)
    tables, class_names = named_classes(names, classes, info.name)
    factor, decimals, zero_point = display_factor(info)
    members = {
        "classes": classes,
        "top": min(wanted.top, classes),
        "names": class_names,
        "factor": f"INT64_C({factor})",
        "decimals": decimals,
        "zero_point": zero_point,
    }
    softmax = wanted.softmax if wanted.softmax is not None else not ends_with_softmax(program, info.name)
    if softmax and info.params is not None:
        coarse, fine = exponential_tables(info)
        tables += array_text(coarse, "exponential_coarse", 4) + array_text(fine, "exponential_fine", 4)
        members |= {"coarse": "exponential_coarse", "fine": "exponential_fine"}
    text = "".join(f"    .{name} = {value},\n" for name, value in members.items())
    tables += f"static const struct class_settings classes = {{\n{text}}};\n"
    return Piece(("show_classes",), f"    show_classes(&classes, code{which}, print);\n", tables)


def named_classes(names: tuple[str, ...] | None, classes: int, output: str) -> tuple[str, str]:
    """Return the C text of a table of names, and its name; nothing and NULL without names.

    Raises:
        CompileError: there is another number of names.
    """
    if names is None:
        return "", "NULL"
    if len(names) != classes:
        raise CompileError(f"output '{output}': expected {classes} class names, got {len(names)}")
    rows = ",\n".join("    " + c_string(name) for name in names)
    return f"static const char *const class_names[{classes}] = {{\n{rows}}};\n", "class_names"


def ends_with_softmax(program: Program, name: str) -> bool:
    """Return whether a tensor is the result of a softmax, possibly in another shape or format."""
    made = {node.output: node for node in program.nodes}
    while name in made and made[name].operator.kind in _KEEP_ORDER:
        name = made[name].inputs[0]
    kind = made[name].operator.kind if name in made else ""
    return "softmax" in kind and not kind.startswith("log")


def display_factor(info: TensorInfo) -> tuple[int, int, int]:
    """Return (factor, decimals, zero point) with which C prints real values of an output.

        real * 10**decimals = ((code - zero_point) * factor + 2**15) >> 16

    There are as many decimals as tell neighbouring codes apart.
    """
    if info.params is None:
        return 1 << 16, 0, 0
    if info.params.scale.size != 1 or not info.params.scale.max() < _LARGEST_SCALE:
        raise CompileError(f"output '{info.name}': expected one scale below {_LARGEST_SCALE}, got {info.params.scale}")
    scale = Fraction(float(info.params.scale.reshape(-1)[0]))
    decimals = 0
    while scale * 10**decimals < 1 and decimals < 30:
        decimals += 1
    return round(scale * 10**decimals * (1 << 16)), decimals, int(info.params.zero_point.reshape(-1)[0])


def exponential_tables(info: TensorInfo) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return exp(-256 * k * scale) and exp(-k * scale) for k = 0 to 255 with 30 fraction bits.

    The first has one entry for codes of up to 8 bits.
    """
    assert info.params is not None
    scale = float(info.params.scale.reshape(-1)[0])
    spread = info.type.qmax - info.type.qmin
    coarse, fine = (
        np.rint(np.exp(-np.arange(count, dtype=np.float64) * step) * (1 << FRACTION)).astype(np.int32)
        for count, step in ((spread // 256 + 1, 256 * scale), (256, scale))
    )
    return coarse, fine
