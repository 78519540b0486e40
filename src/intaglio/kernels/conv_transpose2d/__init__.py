"""Kernels of `conv_transpose2d`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import C_TYPES, Call, Kernel, Tensor, requantize_fields, scale_function
from intaglio.kernels.layout import template, weight_codes
from intaglio.program.operators.conv_transpose2d import ConvTranspose2d


def scalar(op: ConvTranspose2d, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters; one unit per output row."""
    x = inputs[0]
    wide = "_wide" if op.requantize.wide else ""
    weight, zero_point = weight_codes(op.weight, op.weight_zero_point)
    width = "_w16" if weight.itemsize > 1 else ""
    name = f"ig_conv_transpose2d_{x.short}_{y.short}{width}_{op.requantize.rule.value}{wide}__scalar"
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
    source = template(
        "conv_transpose2d/scalar.h",
        name,
        x=x.c_type,
        y=y.c_type,
        w=C_TYPES[weight.dtype.str[1:]],
        acc="int64_t" if op.requantize.wide else "int32_t",
        scale=scale_function(op.requantize),
    )
    return Call(name, (source,), "struct ig_conv_transpose2d", fields, units=y.shape[0] * y.shape[1])


KERNELS = (Kernel("conv_transpose2d", "scalar", scalar),)
