"""Kernels of `log_softmax`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import exponential_fields, in_place, template
from intaglio.program.operators.log_softmax import LogSoftmax


def scalar(op: LogSoftmax, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per row."""
    x = inputs[0]
    name = f"ig_log_softmax_{x.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    fields = {
        "exponential": exponential_fields(op.exp_low, op.exp_high),
        "difference": requantize_fields(op.difference),
        "requantize": requantize_fields(op.requantize),
        "log_table": op.log_table,
        "log_two": op.log_two,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "length": x.shape[-1],
    }
    source = template("log_softmax/scalar.h", name, x=x.c_type, y=y.c_type, scale=scale_function(op.requantize))
    rows = x.size // x.shape[-1]
    return Call(name, (source,), "struct ig_log_softmax", fields, units=rows, may_alias=in_place(inputs, y))


KERNELS = (Kernel("log_softmax", "scalar", scalar),)
