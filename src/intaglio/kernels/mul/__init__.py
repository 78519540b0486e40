"""Kernels of `mul`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import binary_fields, in_place, template
from intaglio.kernels.vector.chain import Link, chain_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.mul import Mul


def scalar(op: Mul, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters and broadcasts; one unit per element."""
    a, b = inputs
    name = f"ig_mul_{a.short}_{b.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    fields = {
        "requantize": requantize_fields(op.requantize),
        "a_zero_point": op.a_zero_point,
        "b_zero_point": op.b_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        **binary_fields(a, b, y),
    }
    source = template("mul/scalar.h", name, a=a.c_type, b=b.c_type, y=y.c_type, scale=scale_function(op.requantize))
    return Call(name, (source,), "struct ig_mul", fields, units=y.size, may_alias=in_place(inputs, y))


def rows(vector: Vector) -> Bind:
    """Vectors, row by row; operands of equal shape, or one of them a pixel."""

    def bind(op: Mul, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        call = chain_call([Link(op, tuple(inputs), y)], vector)
        return call and replace(call, may_alias=in_place(inputs, y))

    return bind


KERNELS = (
    *(Kernel("mul", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("mul", "scalar", scalar),
)
