"""Kernels of `conv2d`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.conv2d import small
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
from intaglio.kernels.rows.chain import Link, chain_call
from intaglio.kernels.rows.vector import VECTORS, Vector
from intaglio.program.operators.conv2d import Conv2d


def scalar(op: Conv2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Plain C, any parameters; one unit per output row, of all images."""
    x = inputs[0]
    wide = "_wide" if op.requantize.wide else ""
    weight, zero_point = weight_codes(op.weight, op.weight_zero_point)
    width = "_w16" if weight.itemsize > 1 else ""
    name = f"ig_conv2d_{x.short}_{y.short}{width}_{op.requantize.rule.value}{wide}__scalar"
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
        "height": x.shape[1],
        "width": x.shape[2],
        "channels": x.shape[3],
        "out_height": y.shape[1],
        "out_width": y.shape[2],
        "out_channels": y.shape[3],
        "kernel": op.weight.shape[1:3],
        "strides": op.strides,
        "dilations": op.dilations,
        "pads": op.pads[:2],
        "groups": op.groups,
    }
    source = Source(
        "conv2d/scalar.h",
        (
            ("IG_NAME", name),
            ("IG_X", x.c_type),
            ("IG_Y", y.c_type),
            ("IG_W", C_TYPES[weight.dtype.str[1:]]),
            ("IG_ACC", "int64_t" if op.requantize.wide else "int32_t"),
            ("IG_SCALE", scale_function(op.requantize)),
        ),
    )
    return Call(name, (source,), "struct ig_conv2d", fields, units=y.shape[0] * y.shape[1], rows=1)


def gemm(vector: Vector) -> Bind:
    """Tiles of vectors, strip by strip."""

    def bind(op: Conv2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        return chain_call([Link(op, tuple(inputs), y)], vector)

    return bind


KERNELS = (
    *(Kernel("conv2d", isa, gemm(vector)) for isa, vector in VECTORS.items()),
    Kernel("conv2d", "dsp", small.dsp),
    Kernel("conv2d", "scalar", small.plain),
    Kernel("conv2d", "scalar", scalar),
)
