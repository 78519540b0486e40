"""What the scalar kernels of operators with weights share: their constants, their macros, their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intaglio.kernels.kernel import C_TYPES, Call, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import template, weight_codes
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.conv_transpose2d import ConvTranspose2d
from intaglio.program.weighted import Weighted


def scalar_call(op: Weighted, x: Tensor, y: Tensor, fields: Mapping[str, Any], units: int, rows: int = 0) -> Call:
    """The call of `<kind>/scalar.h`.

    Args:
        op: any parameters.
        x, y: its operands.
        fields: members of the struct beyond those of every operator with weights.
        units, rows: as in `Call`.
    """
    weight, zero_point = weight_codes(op.weight, op.weight_zero_point)
    width = "_w16" if weight.itemsize > 1 else ""
    name = f"ig_{op.kind}_{x.short}_{y.short}{width}_{rule_name(op.requantize)}__scalar"
    shared = {
        "weight": weight,
        "weight_zero_point": zero_point.reshape(-1) if zero_point.any() else None,
        "weight_zero_point_step": int(zero_point.size > 1),
        "bias": op.bias,
        "requantize": requantize_fields(op.requantize),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
    }
    source = template(
        f"{op.kind}/scalar.h",
        name,
        x=x.c_type,
        y=y.c_type,
        w=C_TYPES[weight.dtype.str[1:]],
        acc="int64_t" if op.requantize.wide else "int32_t",
        scale=scale_function(op.requantize),
    )
    return Call(name, (source,), f"struct ig_{op.kind}", {**shared, **fields}, units=units, rows=rows)


def image_fields(op: Conv2d | ConvTranspose2d, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Shapes and the window, as `struct ig_conv2d` and `struct ig_conv_transpose2d` name them."""
    return {
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
