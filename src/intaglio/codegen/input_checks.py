"""Generate the check of inputs that hold indices: an index outside the table that it is for ends the run."""

from __future__ import annotations

import math

import numpy as np

from intaglio.codegen.model import Model
from intaglio.codegen.text import integer_text
from intaglio.kernels.kernel import C_TYPES
from intaglio.program.input_ranges import input_ranges


def input_checks(model: Model) -> str:
    """Generate the statements at the beginning of a run; empty if every code of every input is allowed."""
    program = model.program
    text = ""
    for name, (low, high) in input_ranges(program).items():
        info = program.tensors[name]
        held = np.iinfo(info.type.dtype)
        outside = [f"code < {integer_text(low)}"] if low > held.min else []
        outside += [f"code > {integer_text(high)}"] if high < held.max else []
        if not outside:
            continue
        kind, place = C_TYPES[info.type.dtype.str[1:]], program.inputs.index(name)
        text += f"""    for (int32_t i = 0; i < {math.prod(info.shape)}; i++) {{
        const {kind} code = ((const {kind} *)inputs[{place}])[i];
        if ({" || ".join(outside)})
            return {model.macro}_OUT_OF_RANGE;
    }}
"""
    return text
