"""Max pools as stages of a pipeline of rows."""

from __future__ import annotations

import numpy as np

from intaglio.kernels.kernel import CSource, Struct, Tensor
from intaglio.kernels.vector.row_stage import Layout, RowStage
from intaglio.kernels.vector.vector_isas import Vector
from intaglio.program.operators.max_pool2d import MaxPool2d

BORDER16 = -0x7F80  # two bytes of -128


def serves_max_pool(op: MaxPool2d, x: Tensor) -> bool:
    """Images of 8-bit codes, or of signed ones of 16 where the border, filled byte by byte, does not count."""
    border = op.low >= BORDER16 or not any(op.pads)
    return x.shape[0] == 1 and (x.type.bits <= 8 or (x.type.signed and border))


def max_pool_stage(op: MaxPool2d, x: Tensor, y: Tensor, vector: Vector, to: Layout) -> RowStage:
    """The stage of a max pool; the arguments are those of `gemm_stage`."""
    _, height, width, channels = x.shape
    pixel = channels * x.type.dtype.itemsize
    source = Layout.bordered(width, pixel, op.pads[1], op.pads[3]) if any(op.pads) else Layout.plain(width, pixel)
    u = np.arange(op.kernel[0])[:, None] * op.dilations[0] * source.pitch
    v = np.arange(op.kernel[1]) * op.dilations[1] * pixel
    name = f"ig_max_pool_{x.short}__{vector.isa}"
    fields = {
        "taps": (u + v).reshape(-1).astype(np.int32),
        "tap_count": u.size * v.size,
        "nbytes": pixel,
        "width": y.shape[2],
        "x_row": op.strides[0] * source.pitch,
        "x_step": op.strides[1] * pixel,
        "y_row": to.pitch,
        "low": op.low,
        "high": op.high,
    }
    bounds = f"ig_bounds{'_s16' if x.type.bits > 8 else ''}"
    defines = (
        ("IG_NAME", name),
        ("IG_MAX", f"ig_max_{x.short}"),
        ("IG_CLAMP", f"ig_clamp_{x.short}"),
        ("IG_BOUNDS", bounds),
    )
    return RowStage(
        run=name,
        sources=(vector.source, CSource("vector/max_pool_rows.h", defines)),
        params=Struct("struct ig_max_pool_rows", fields),
        parts=1,
        stride=op.strides[0],
        before=op.pads[0],
        taps=(op.kernel[0] - 1) * op.dilations[0] + 1,
        x_height=height,
        source=source,
        fill=0 if x.type.dtype == np.uint8 else -128,
        out_height=y.shape[1],
    )
