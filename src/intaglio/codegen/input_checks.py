"""Generate the checks of indices: one that is outside the axis that it is for ends the run.

Inputs are checked before a run, computed indices before the step that reads them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from textwrap import indent

import numpy as np

from intaglio.codegen.model import Model
from intaglio.codegen.text import integer_text
from intaglio.kernels.kernel import C_TYPES
from intaglio.program import TensorInfo
from intaglio.program.index_checks import IndexCheck, index_checks
from intaglio.program.input_ranges import input_ranges


def input_checks(model: Model) -> str:
    """Generate the statements at the beginning of a run; empty if every code of every input is allowed."""
    program = model.program
    text = ""
    for name, (low, high) in input_ranges(program).items():
        place = f"inputs[{program.inputs.index(name)}]"
        text += _loop(program.tensors[name], place, low, high, f"{model.macro}_OUT_OF_RANGE")
    return text


def step_checks(model: Model) -> dict[int, tuple[IndexCheck, ...]]:
    """Find the checks before each step, by its number."""
    checks = index_checks(model.program)
    if not checks:
        return {}
    found = (
        (i, tuple(c for node in step.nodes for c in checks.get(node.name, ()))) for i, step in enumerate(model.steps)
    )
    return {i: before for i, before in found if before}


def computed_checks(model: Model, addresses: Mapping[str, str]) -> str:
    """Generate the function `leaves_axis` that checks computed indices before a step; empty if none has to be.

    Args:
        model: the model.
        addresses: C expression of each tensor's address.
    """
    tensors = model.program.tensors
    text = ""
    for i, checks in step_checks(model).items():
        loops = "".join(_loop(tensors[c.tensor], addresses[c.tensor], c.low, c.high, "1") for c in checks)
        text += f"    if (step == {i}) {{\n{indent(loops, '    ')}    }}\n"
    if not text:
        return ""
    return f"""
/* Whether an index that this step reads at is outside the axis that it is for. */
static int leaves_axis(const struct frame *f, int32_t step)
{{
    (void)f;
{text}    return 0;
}}
"""


def late_status(model: Model) -> str:
    """Say, for a comment of the header, which status is found so late that outputs may be written; or nothing."""
    if not any(step_checks(v) for v in model.all):
        return ""
    return f"; after\n * {model.macro}_OUT_OF_RANGE the outputs may hold anything"


def _loop(info: TensorInfo, place: str, low: int, high: int, status: str) -> str:
    """Generate a loop over a tensor that returns the status at an integer outside the range."""
    held = np.iinfo(info.type.dtype)
    outside = [f"code < {integer_text(low)}"] if low > held.min else []
    outside += [f"code > {integer_text(high)}"] if high < held.max else []
    if not outside:
        return ""
    kind = C_TYPES[info.type.dtype.str[1:]]
    return f"""    for (int32_t i = 0; i < {math.prod(info.shape)}; i++) {{
        const {kind} code = ((const {kind} *){place})[i];
        if ({" || ".join(outside)})
            return {status};
    }}
"""
