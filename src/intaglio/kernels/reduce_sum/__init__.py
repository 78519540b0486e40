"""Kernels of `reduce_sum`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import reduction_fields, template
from intaglio.kernels.vector.chain import chain_call
from intaglio.kernels.vector.convolutions import sum_link
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.reduce_sum import ReduceSum


def scalar(op: ReduceSum, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any axes; one unit per element of the output."""
    x = inputs[0]
    name = f"ig_reduce_sum_{x.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    fields = {
        "requantize": requantize_fields(op.requantize),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "reduction": reduction_fields(x.shape, op.axes),
    }
    acc = "int64_t" if op.requantize.wide else "int32_t"
    source = template("reduce_sum/scalar.h", name, x=x.c_type, y=y.c_type, acc=acc, scale=scale_function(op.requantize))
    return Call(name, (source,), "struct ig_reduce_sum", fields, units=y.size)


def rows(vector: Vector) -> Bind:
    """Vectors, as a convolution."""

    def bind(op: ReduceSum, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        link = sum_link(op, inputs[0], y)
        return None if link is None else chain_call([link], vector)

    return bind


KERNELS = (
    *(Kernel("reduce_sum", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("reduce_sum", "scalar", scalar),
)
