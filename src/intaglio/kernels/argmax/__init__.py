"""Kernels of `argmax`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import template
from intaglio.program.operators.argmax import ArgMax


def scalar(op: ArgMax, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element of the output."""
    x = inputs[0]
    name = f"ig_arg{'min' if op.minimum else 'max'}_{'last' if op.last else 'first'}_{x.short}__scalar"
    better = ("<" if op.minimum else ">") + ("=" if op.last else "")
    fields = {"length": x.shape[op.axis], "inner": math.prod(x.shape[op.axis + 1 :])}
    source = template("argmax/scalar.h", name, x=x.c_type, better=better)
    return Call(name, (source,), "struct ig_argmax", fields, units=y.size)


KERNELS = (Kernel("argmax", "scalar", scalar),)
