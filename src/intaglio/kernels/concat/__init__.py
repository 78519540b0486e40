"""Kernels of `concat`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import template
from intaglio.program.operators.concat import Concat


def scalar(op: Concat, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per place outside the axis."""
    outer = math.prod(y.shape[: op.axis])
    runs = np.array([x.nbytes // outer for x in inputs], np.int32)
    fields = {"bytes": runs, "inputs": len(inputs), "run": int(runs.sum())}
    name = "ig_concat__scalar"
    return Call(name, (template("concat/scalar.h", name),), "struct ig_concat", fields, units=outer, variadic=True)


KERNELS = (Kernel("concat", "scalar", scalar),)
