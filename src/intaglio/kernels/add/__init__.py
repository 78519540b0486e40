"""Kernels of `add`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intaglio.kernels.add import cortex_m_add as small
from intaglio.kernels.add.fields import add_fields
from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor, rule_name, scale_function
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.kernels.vector.chain import Link, chain_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.add import Add


def scalar(op: Add, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters and broadcasts; one unit per element."""
    a, b = inputs
    name = f"ig_add_{a.short}_{b.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    source = template("add/scalar.h", name, a=a.c_type, b=b.c_type, y=y.c_type, scale=scale_function(op.requantize))
    return Call(name, (source,), "struct ig_add", add_fields(op, a, b, y), units=y.size, may_alias=in_place(inputs, y))


def rows(vector: Vector) -> Bind:
    """Vectors, row by row; operands of equal shape."""

    def bind(op: Add, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        call = chain_call([Link(op, tuple(inputs), y)], vector)
        return call and replace(call, may_alias=in_place(inputs, y))

    return bind


KERNELS = (
    *(Kernel("add", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("add", "scalar", small.plain),
    Kernel("add", "scalar", scalar),
)
