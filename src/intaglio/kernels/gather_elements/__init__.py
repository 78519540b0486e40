"""Kernels of `gather_elements`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import UNSIGNED, template
from intaglio.program.operators.gather_elements import GatherElements


def scalar(op: GatherElements, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    x, ids = inputs
    nbytes = x.type.dtype.itemsize
    name = f"ig_gather_elements_{8 * nbytes}_{ids.short}__scalar"
    fields = {"count": x.shape[op.axis], "ids": ids.shape[op.axis], "inner": math.prod(x.shape[op.axis + 1 :])}
    source = template("gather_elements/scalar.h", name, x=UNSIGNED[nbytes], ids=ids.c_type)
    return Call(name, (source,), "struct ig_gather_elements", fields, units=y.size)


KERNELS = (Kernel("gather_elements", "scalar", scalar),)
