"""Kernels of `integer_cumsum`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import template
from intaglio.program.operators.integer_cumsum import IntegerCumSum


def scalar(op: IntegerCumSum, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per line along the axis."""
    (x,) = inputs
    name = f"ig_integer_cumsum_{x.short}__scalar"
    fields = {
        "count": x.shape[op.axis],
        "inner": math.prod(x.shape[op.axis + 1 :]),
        "exclusive": int(op.exclusive),
        "reverse": int(op.reverse),
    }
    units = x.size // x.shape[op.axis]
    source = template("integer_cumsum/scalar.h", name, x=x.c_type)
    return Call(name, (source,), "struct ig_integer_cumsum", fields, units=units)


KERNELS = (Kernel("integer_cumsum", "scalar", scalar),)
