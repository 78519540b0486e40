"""Kernels of `prelu`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.program.operators.prelu import PRelu


def scalar(op: PRelu, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element. Under the rule `shift` the slopes may round by another rule."""
    x = inputs[0]
    rules = f"{rule_name(op.requantize)}_{rule_name(op.negative)}"
    name = f"ig_prelu_{x.short}_{y.short}_{rules}__scalar"
    fields = {
        "requantize": requantize_fields(op.requantize),
        "negative": requantize_fields(op.negative),
        "sign": op.sign.reshape(-1),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "channels": op.sign.size,
    }
    source = template(
        "prelu/scalar.h",
        name,
        x=x.c_type,
        y=y.c_type,
        scale=scale_function(op.requantize),
        scale_negative=scale_function(op.negative),
    )
    return Call(name, (source,), "struct ig_prelu", fields, units=y.size, may_alias=in_place(inputs, y))


KERNELS = (Kernel("prelu", "scalar", scalar),)
