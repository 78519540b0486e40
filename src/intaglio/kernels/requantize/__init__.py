"""Kernels of `requantize`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor, requantize_fields, scale_function
from intaglio.kernels.layout import in_place, template
from intaglio.program.operators.requantize import Requantize


def scalar(op: Requantize, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    x = inputs[0]
    wide = "_wide" if op.requantize.wide else ""
    name = f"ig_requantize_{x.short}_{y.short}_{op.requantize.rule.value}{wide}__scalar"
    fields = {
        "requantize": requantize_fields(op.requantize),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
    }
    source = template("requantize/scalar.h", name, x=x.c_type, y=y.c_type, scale=scale_function(op.requantize))
    return Call(name, (source,), "struct ig_requantize_codes", fields, units=y.size, may_alias=in_place(inputs, y))


KERNELS = (Kernel("requantize", "scalar", scalar),)
