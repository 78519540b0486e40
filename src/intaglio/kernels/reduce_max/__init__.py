"""Kernels of `reduce_max`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import reduction_fields, template
from intaglio.program.operators.reduce_max import ReduceMax


def scalar(op: ReduceMax, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any axes; one unit per element of the output."""
    x = inputs[0]
    name = f"ig_reduce_{'min' if op.minimum else 'max'}_{x.short}__scalar"
    source = template("reduce_max/scalar.h", name, x=x.c_type, better="<" if op.minimum else ">")
    fields = {"reduction": reduction_fields(x.shape, op.axes)}
    return Call(name, (source,), "struct ig_reduce_max", fields, units=y.size)


KERNELS = (Kernel("reduce_max", "scalar", scalar),)
