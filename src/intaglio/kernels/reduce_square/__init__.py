"""Kernels of `reduce_square`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import reduction_fields, template
from intaglio.program.operators.reduce_square import ReduceSquare


def scalar(op: ReduceSquare, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any axes; one unit per element of the output."""
    x = inputs[0]
    name = f"ig_reduce_square_{x.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    fields = {
        "requantize": requantize_fields(op.requantize),
        "root": int(op.root),
        "spread": op.spread,
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "reduction": reduction_fields(x.shape, op.axes),
    }
    source = template("reduce_square/scalar.h", name, x=x.c_type, y=y.c_type, scale=scale_function(op.requantize))
    return Call(name, (source,), "struct ig_reduce_square", fields, units=y.size)


KERNELS = (Kernel("reduce_square", "scalar", scalar),)
