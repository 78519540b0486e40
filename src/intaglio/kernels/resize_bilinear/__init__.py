"""Kernels of `resize_bilinear`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import template
from intaglio.program.operators.resize_bilinear import ResizeBilinear


def scalar(op: ResizeBilinear, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per output row. 255 * 2**22 < 2**31, beyond that sums have 64 bits."""
    x = inputs[0]
    acc = "int32_t" if x.type.bits + 2 * op.bits <= 30 else "int64_t"
    name = f"ig_resize_bilinear_{x.short}_{acc[:5]}{'' if op.zero_point is None else '_even'}__scalar"
    fields = {
        "rows": op.rows,
        "row_weights": op.row_weights,
        "columns": op.columns,
        "column_weights": op.column_weights,
        "shift": 2 * op.bits,
        "fill": op.fill,
        "zero_point": op.zero_point or 0,
        "height": x.shape[1],
        "width": x.shape[2],
        "channels": x.shape[3],
        "out_height": y.shape[1],
        "out_width": y.shape[2],
    }
    source = template("resize_bilinear/scalar.h", name, x=x.c_type, acc=acc, even_=int(op.zero_point is not None))
    return Call(name, (source,), "struct ig_resize_bilinear", fields, units=y.shape[0] * y.shape[1])


KERNELS = (Kernel("resize_bilinear", "scalar", scalar),)
