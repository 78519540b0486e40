"""Kernels of `masked_softmax`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import exponential_fields, in_place, template
from intaglio.program.operators.masked_softmax import MaskedSoftmax


def scalar(op: MaskedSoftmax, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per row."""
    x = inputs[0]
    name = f"ig_masked_softmax_{x.short}_{y.short}__scalar"
    fields = {
        "exponential": exponential_fields(op.exp_low, op.exp_high),
        "keep": op.keep.reshape(-1),
        "masks": op.keep.shape[0],
        "reciprocal_scale": op.reciprocal_scale,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "length": x.shape[-1],
    }
    source = template("masked_softmax/scalar.h", name, x=x.c_type, y=y.c_type)
    rows = x.size // x.shape[-1]
    return Call(name, (source,), "struct ig_masked_softmax", fields, units=rows, may_alias=in_place(inputs, y))


KERNELS = (Kernel("masked_softmax", "scalar", scalar),)
