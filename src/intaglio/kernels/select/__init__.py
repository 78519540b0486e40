"""Kernels of `select`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import UNSIGNED, broadcast_strides, merge, template
from intaglio.program.operators.select import Select


def scalar(op: Select, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    strides = (broadcast_strides(x.shape, y.shape) for x in inputs)
    sizes, (condition, a, b) = merge(y.shape, *strides)
    nbytes = y.type.dtype.itemsize
    name = f"ig_select_{8 * nbytes}_{inputs[0].short}__scalar"
    fields = {"rank": len(sizes), "size": sizes, "condition_stride": condition, "a_stride": a, "b_stride": b}
    source = template("select/scalar.h", name, condition=inputs[0].c_type, x=UNSIGNED[nbytes])
    return Call(name, (source,), "struct ig_select", fields, units=y.size)


KERNELS = (Kernel("select", "scalar", scalar),)
