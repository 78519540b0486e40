"""Depthwise convolutions over 16-bit inputs as stages of a pipeline of rows."""

from __future__ import annotations

import numpy as np

from intaglio.kernels.kernel import CSource, Name, Struct, StructArray, Tensor
from intaglio.kernels.vector.row_factors import Factors
from intaglio.kernels.vector.row_products import Products, to_int32
from intaglio.kernels.vector.row_stage import Layout, RowStage
from intaglio.kernels.vector.vector_isas import Vector, channel_order, pick
from intaglio.program.operators.conv2d import Conv2d

POSITIONS = 4


def depthwise16_stage(op: Conv2d, x: Tensor, y: Tensor, vector: Vector, to: Layout) -> RowStage:
    """The stage of a depthwise convolution; the arguments are those of `gemm_stage`.

    A group is as many channels as a vector holds; the taps of the window are taken two by two.
    """
    _, height, width, channels = x.shape
    _, kh, kw, _ = op.weight.shape
    pixel, itemsize = 2 * channels, y.type.dtype.itemsize
    source = Layout.bordered(width, pixel, op.pads[1], op.pads[3]) if any(op.pads) else Layout.plain(width, pixel)
    out_height, out_width = y.shape[1:3]
    rows = np.arange(kh)[:, None] * op.dilations[0] * source.pitch
    taps = (rows + np.arange(kw) * op.dilations[1] * pixel).reshape(-1).astype(np.int32)
    taps = np.pad(taps, (0, taps.size % 2), mode="edge")
    products = Products.of(op, x, vector)
    weight = products.weight.reshape(channels, 1, kh * kw)
    weight = np.pad(weight, ((0, 0), (0, 0), (0, taps.size - kh * kw)))
    bias = to_int32(products.bias(op))
    factors = Factors.of(op, x.type)
    positions = min(out_width, POSITIONS)
    groups, sources = [], []
    for start in range(0, channels, 2 * vector.lanes):
        of = start + channel_order(vector.lanes, 2)
        of = np.where(of < channels, of, -1)
        form = factors.form(vector.forms, of)
        assert form is not None
        full = bool((of >= 0).all())
        clamped = itemsize == 1 and (op.low > np.iinfo(y.type.dtype).min or op.high < np.iinfo(y.type.dtype).max)
        kind = f"{positions}{'' if full else '_part'}{'_clamped' if clamped else ''}"
        name = f"ig_depthwise16_{kind}_{x.short}_{y.short}_{form}__{vector.isa}"
        defines = {
            "IG_NAME": name,
            "IG_POSITIONS_": positions,
            "IG_FULL_": int(full),
            "IG_LONG_": int(itemsize == 2),
            "IG_PACK": f"ig_pack_{'clamped_' if clamped else ''}{y.short}",
            "IG_FORM_": form,
        }
        sources.append(CSource("vector/depthwise16_tile.h", tuple((k, str(v)) for k, v in defines.items())))
        groups.append(
            {
                "weight": products.pack(weight, of, vector),
                "bias": pick(bias, of).reshape(-1),
                "factors": factors.records(form, of).reshape(-1),
                "tile": Name(name),
                "tile2": None,
                "input": 2 * start,
                "output": itemsize * start,
                "count": min(2 * vector.lanes, channels - start),
                "width": positions,
                "columns": taps,
                "taps": taps.size,
            }
        )
    fields = {
        "groups": StructArray("struct ig_group", groups),
        "row_step": op.dilations[0] * source.pitch,
        "width": out_width,
        "x_row": op.strides[0] * source.pitch,
        "x_step": op.strides[1] * pixel,
        "y_row": to.pitch,
        "y_step": channels * itemsize,
        "low": op.low,
        "high": op.high,
    }
    return RowStage(
        run="ig_depthwise_rows",
        sources=(vector.source, *sources, CSource("vector/depthwise_rows.h")),
        params=Struct("struct ig_depthwise", fields),
        parts=len(groups),
        stride=op.strides[0],
        before=op.pads[0],
        taps=(kh - 1) * op.dilations[0] + 1,
        x_height=height,
        source=source,
        fill=0,
        out_height=out_height,
    )
