"""Kernels of `dense`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.dense import small
from intaglio.kernels.kernel import (
    C_TYPES,
    Bind,
    Call,
    Kernel,
    Source,
    Tensor,
    requantize_fields,
    scale_function,
)
from intaglio.kernels.layout import weight_codes
from intaglio.kernels.rows.chain import chain_call
from intaglio.kernels.rows.convolutions import dense_link
from intaglio.kernels.rows.vector import VECTORS, Vector
from intaglio.program.operators.dense import Dense


def scalar(op: Dense, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Plain C, any parameters; one unit per output channel."""
    x = inputs[0]
    wide = "_wide" if op.requantize.wide else ""
    weight, zero_point = weight_codes(op.weight, op.weight_zero_point)
    width = "_w16" if weight.itemsize > 1 else ""
    name = f"ig_dense_{x.short}_{y.short}{width}_{op.requantize.rule.value}{wide}__scalar"
    fields = {
        "weight": weight,
        "weight_zero_point": zero_point.reshape(-1) if zero_point.any() else None,
        "weight_zero_point_step": int(zero_point.size > 1),
        "bias": op.bias,
        "requantize": requantize_fields(op.requantize),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "rows": x.size // x.shape[-1],
        "depth": x.shape[-1],
        "out_channels": y.shape[-1],
    }
    source = Source(
        "dense/scalar.h",
        (
            ("IG_NAME", name),
            ("IG_X", x.c_type),
            ("IG_Y", y.c_type),
            ("IG_W", C_TYPES[weight.dtype.str[1:]]),
            ("IG_ACC", "int64_t" if op.requantize.wide else "int32_t"),
            ("IG_SCALE", scale_function(op.requantize)),
        ),
    )
    return Call(name, (source,), "struct ig_dense", fields, units=y.shape[-1])


def rows(vector: Vector) -> Bind:
    """Vectors, as a convolution."""

    def bind(op: Dense, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        return chain_call([dense_link(op, inputs[0], y)], vector)

    return bind


KERNELS = (
    *(Kernel("dense", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("dense", "dsp", small.dsp),
    Kernel("dense", "scalar", small.plain),
    Kernel("dense", "scalar", scalar),
)
