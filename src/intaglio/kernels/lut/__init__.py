"""Kernels of `lut`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.layout import in_place, template
from intaglio.program.operators.lut import Lut


def scalar(op: Lut, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    x = inputs[0]
    bits = op.in_type.bits
    name = f"ig_lut_{x.short}_{y.short}__scalar"
    fields = {
        "table": op.table,
        "first": op.in_type.qmin - int(op.in_type.narrow),
        "mask": (1 << bits) - 1,
        "shift": max(bits - 9, 0),
        "entries": op.table.shape[-1],
        "channels": op.table.shape[0] if op.table.ndim > 1 else 1,
    }
    source = template("lut/scalar.h", name, x=x.c_type, y=y.c_type)
    return Call(name, (source,), "struct ig_lut", fields, units=y.size, may_alias=in_place(inputs, y))


KERNELS = (Kernel("lut", "scalar", scalar),)
