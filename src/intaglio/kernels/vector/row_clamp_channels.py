"""Bounds per channel as stages of a pipeline of rows."""

from __future__ import annotations

import numpy as np

from intaglio.kernels.kernel import CSource, Struct, Tensor
from intaglio.kernels.vector.row_add import rows_of
from intaglio.kernels.vector.row_stage import Layout, RowStage, row_stage
from intaglio.kernels.vector.vector_isas import Vector
from intaglio.program.operators.clamp_channels import ClampChannels

PERIOD = 512  # bytes of repeated bounds at least, so that few vectors are partly filled


def serves_clamp_channels(x: Tensor) -> bool:
    """Codes of 8 bits."""
    return x.type.bits <= 8


def clamp_channels_stage(op: ClampChannels, x: Tensor, y: Tensor, vector: Vector, to: Layout) -> RowStage:
    """The stage of such bounds; the arguments are those of `gemm_stage`."""
    height, width = rows_of(y)
    repeats = max(1, min(-(-PERIOD // op.lower.size), width // op.lower.size))
    name = f"ig_clamp_channels_rows_{x.short}__{vector.isa}"
    fields = {
        "lower": np.tile(op.lower.astype(x.type.dtype).view(np.uint8), repeats),
        "upper": np.tile(op.upper.astype(x.type.dtype).view(np.uint8), repeats),
        "period": op.lower.size * repeats,
        "nbytes": width,
        "x_row": width,
        "y_row": to.pitch,
    }
    defines = (("IG_NAME", name), ("IG_MAX", f"ig_max_{x.short}"), ("IG_MIN", f"ig_min_{x.short}"))
    sources = (vector.source, CSource("vector/clamp_channels_rows.h", defines))
    return row_stage(name, sources, Struct("struct ig_clamp_channels_rows", fields), height, width)
