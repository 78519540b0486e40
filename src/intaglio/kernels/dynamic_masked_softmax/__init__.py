"""Kernels of `dynamic_masked_softmax`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import binary_fields, exponential_fields, template
from intaglio.program.operators.dynamic_masked_softmax import DynamicMaskedSoftmax


def scalar(op: DynamicMaskedSoftmax, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per row."""
    x, keep = inputs
    name = f"ig_dynamic_masked_softmax_{x.short}_{y.short}_{keep.short}__scalar"
    first = Tensor((*x.shape[:-1], 1), x.type)  # of every row
    rows = binary_fields(first, Tensor((*keep.shape[:-1], 1), keep.type), first)
    if keep.shape[-1] != 1:
        rows["b_stride"] = tuple(stride * keep.shape[-1] for stride in rows["b_stride"])
    fields = {
        "exponential": exponential_fields(op.exp_low, op.exp_high),
        "reciprocal_scale": op.reciprocal_scale,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "length": x.shape[-1],
        "keep_step": int(keep.shape[-1] != 1),
        "rank": rows["rank"],
        "size": rows["size"],
        "keep_stride": rows["b_stride"],
    }
    source = template("dynamic_masked_softmax/scalar.h", name, x=x.c_type, y=y.c_type, keep=keep.c_type)
    units = x.size // x.shape[-1]
    return Call(name, (source,), "struct ig_dynamic_masked_softmax", fields, units=units)


KERNELS = (Kernel("dynamic_masked_softmax", "scalar", scalar),)
