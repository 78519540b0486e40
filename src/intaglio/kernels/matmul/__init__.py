"""Kernels of `matmul`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import broadcast_strides, merge, template
from intaglio.program.operators.matmul import MatMul


def scalar(op: MatMul, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per row of the output."""
    a, b = inputs
    name = f"ig_matmul_{a.short}_{b.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    lead = y.shape[:-2]
    sizes, (a_strides, b_strides) = merge(
        lead, broadcast_strides(a.shape[:-2], lead), broadcast_strides(b.shape[:-2], lead)
    )
    fields = {
        "requantize": requantize_fields(op.requantize),
        "a_zero_point": op.a_zero_point,
        "b_zero_point": op.b_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "rows": a.shape[-2],
        "depth": a.shape[-1],
        "columns": b.shape[-1],
        "rank": len(sizes),
        "size": sizes,
        "a_stride": a_strides,
        "b_stride": b_strides,
    }
    source = template(
        "matmul/scalar.h",
        name,
        a=a.c_type,
        b=b.c_type,
        y=y.c_type,
        acc="int64_t" if op.requantize.wide else "int32_t",
        scale=scale_function(op.requantize),
    )
    return Call(name, (source,), "struct ig_matmul", fields, units=math.prod(y.shape[:-1]))


KERNELS = (Kernel("matmul", "scalar", scalar),)
