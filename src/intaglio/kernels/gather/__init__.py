"""Kernels of `gather`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import UNSIGNED, template
from intaglio.program.operators.gather import Gather


def scalar(op: Gather, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per slice."""
    x = inputs[0]
    nbytes = x.type.dtype.itemsize
    name = f"ig_gather_{8 * nbytes}__scalar"
    fields = {
        "indices": op.indices.reshape(-1),
        "count": op.indices.size,
        "size": x.shape[op.axis],
        "run": math.prod(x.shape[op.axis + 1 :]),
    }
    source = template("gather/scalar.h", name, x=UNSIGNED[nbytes])
    units = math.prod(x.shape[: op.axis]) * op.indices.size
    return Call(name, (source,), "struct ig_gather", fields, units=units)


KERNELS = (Kernel("gather", "scalar", scalar),)
