"""Kernels of `clamp`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.program.operators.clamp import Clamp


def scalar(op: Clamp, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    x = inputs[0]
    name = f"ig_clamp_{x.short}__scalar"
    source = template("clamp/scalar.h", name, x=x.c_type)
    fields = {"low": op.low, "high": op.high}
    return Call(name, (source,), "struct ig_clamp_codes", fields, units=y.size, may_alias=in_place(inputs, y))


KERNELS = (Kernel("clamp", "scalar", scalar),)
