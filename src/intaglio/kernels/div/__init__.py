"""Kernels of `div`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import binary_fields, in_place, template
from intaglio.program.operators.div import Div


def scalar(op: Div, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters and broadcasts; one unit per element."""
    a, b = inputs
    name = f"ig_div_{a.short}_{b.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    fields = {
        "requantize": requantize_fields(op.requantize),
        "a_zero_point": op.a_zero_point,
        "b_zero_point": op.b_zero_point,
        "y_zero_point": op.y_zero_point,
        "precision": op.precision,
        "most_shift": op.most_shift,
        "low": op.low,
        "high": op.high,
        **binary_fields(a, b, y),
    }
    source = template("div/scalar.h", name, a=a.c_type, b=b.c_type, y=y.c_type, scale=scale_function(op.requantize))
    return Call(name, (source,), "struct ig_div", fields, units=y.size, may_alias=in_place(inputs, y))


KERNELS = (Kernel("div", "scalar", scalar),)
