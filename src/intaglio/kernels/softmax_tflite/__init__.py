"""Kernels of `softmax_tflite`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.program.operators.softmax_tflite import SoftmaxTflite


def scalar(op: SoftmaxTflite, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per row."""
    x = inputs[0]
    name = f"ig_softmax_tflite_{x.short}_{y.short}__scalar"
    fields = {
        "multiplier": op.multiplier,
        "left_shift": op.left_shift,
        "diff_min": op.diff_min,
        "low": op.out.qmin,
        "high": op.out.qmax,
        "length": x.shape[-1],
    }
    source = template("softmax_tflite/scalar.h", name, x=x.c_type, y=y.c_type)
    rows = x.size // x.shape[-1]
    return Call(name, (source,), "struct ig_softmax_tflite", fields, units=rows, may_alias=in_place(inputs, y))


KERNELS = (Kernel("softmax_tflite", "scalar", scalar),)
