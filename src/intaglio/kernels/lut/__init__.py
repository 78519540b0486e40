"""Kernels of `lut`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.kernels.vector.chain import Link, chain_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.lut import Lut, entries, first_entry, fraction


def scalar(op: Lut, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    x = inputs[0]
    bits = op.in_type.bits
    name = f"ig_lut_{x.short}_{y.short}__scalar"
    fields = {
        "table": op.table,
        "starts": op.starts,
        "shifts": op.shifts,
        "first": first_entry(op.in_type),
        "mask": (entries(op.in_type) if bits <= 8 else 1 << bits) - 1,
        "shift": max(bits - 9, 0),
        "fraction": fraction(op.in_type, op.out),
        "entries": op.table.shape[-1],
        "channels": op.table.shape[0] if op.table.ndim > 1 else 1,
    }
    knots = "int16_t" if fields["fraction"] else y.c_type
    source = template("lut/scalar.h", name, x=x.c_type, y=y.c_type, t=knots)
    return Call(name, (source,), "struct ig_lut", fields, units=y.size, may_alias=in_place(inputs, y))


def rows(vector: Vector) -> Bind:
    """Vectors of bytes, row by row; from 8 bits to 8 bits."""

    def bind(op: Lut, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        call = chain_call([Link(op, tuple(inputs), y)], vector)
        return call and replace(call, may_alias=in_place(inputs, y))

    return bind


KERNELS = (
    *(Kernel("lut", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("lut", "scalar", scalar),
)
