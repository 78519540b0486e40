"""Kernels of `requantize`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.kernels.vector.chain import Link, chain_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.requantize import Requantize


def scalar(op: Requantize, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    x = inputs[0]
    name = f"ig_requantize_{x.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    fields = {
        "requantize": requantize_fields(op.requantize),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
    }
    source = template("requantize/scalar.h", name, x=x.c_type, y=y.c_type, scale=scale_function(op.requantize))
    return Call(name, (source,), "struct ig_requantize_codes", fields, units=y.size, may_alias=in_place(inputs, y))


def rows(vector: Vector) -> Bind:
    """Vectors of bytes, row by row, by a table; from 8 bits to 8 bits."""

    def bind(op: Requantize, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        call = chain_call([Link(op, tuple(inputs), y)], vector)
        return call and replace(call, may_alias=in_place(inputs, y))

    return bind


KERNELS = (
    *(Kernel("requantize", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("requantize", "scalar", scalar),
)
