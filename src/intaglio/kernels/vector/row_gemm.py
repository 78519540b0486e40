"""Convolutions and dense layers as stages of a pipeline of rows: tiles, panels and packed weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.kernels.kernel import CSource, Name, Struct, StructArray, Tensor
from intaglio.kernels.vector.row_factors import Factors
from intaglio.kernels.vector.row_products import Products, serves_products, to_int32, widens
from intaglio.kernels.vector.row_stage import Layout, RowStage
from intaglio.kernels.vector.vector_isas import Ints, Vector, channel_order, pick
from intaglio.kernels.vector.wide import wide_panel, wide_segments
from intaglio.number import INT16
from intaglio.program.operators.conv2d import Conv2d


@dataclass(frozen=True)
class Tile:
    """Output positions by vectors of output channels."""

    rows: int
    blocks: int


def serves(op: Conv2d, x: Tensor, y: Tensor, vector: Vector) -> bool:
    """Whether the tiles compute this: products, outputs of 8 bits or int16, a form of requantization."""
    return (
        x.shape[0] == 1
        and serves_products(op, x)
        and (y.type.bits <= 8 or y.type == INT16)
        and (op.requantize.wide or Factors.of(op, x.type).form(vector.forms) is not None)
    )


def gemm_stage(op: Conv2d, x: Tensor, y: Tensor, vector: Vector, to: Layout) -> RowStage:
    """The stage of a convolution.

    Args:
        op: passes `serves`.
        x, y: its operands.
        vector: the instruction set.
        to: where its rows are written.
    """
    _, height, width, channels = x.shape
    o, kh, kw, each = op.weight.shape
    together = op.dilations[1] == 1 and op.groups == 1
    products = Products.of(op, x, vector, widened=widens(op, x, y, vector))
    run = kw * each if together else each
    depth = -(-run // products.step) * products.step
    bordered = any(op.pads) or depth != run
    pixel = channels * products.item
    source = Layout.bordered(width, pixel, op.pads[1], op.pads[3], slack=4) if bordered else Layout.plain(width, pixel)
    itemsize = y.type.dtype.itemsize
    u = np.arange(kh) * op.dilations[0] * source.pitch
    v = np.zeros(1, np.int64) if together else np.arange(kw) * op.dilations[1] * pixel
    segments = (u[:, None] + v).reshape(-1).astype(np.int32)
    weight = products.weight.reshape(o, segments.size, run)
    weight = np.pad(weight, ((0, 0), (0, 0), (0, depth - run)))
    several = 1
    if op.requantize.wide:
        segments, weight, several = wide_segments(segments, weight)
    out_height, out_width = y.shape[1:3]
    x_row, x_step = op.strides[0] * source.pitch, op.strides[1] * pixel
    flat = x_row == out_width * x_step and to.pitch == out_width * o * itemsize and not bordered
    positions = out_width * (out_height if flat else 1)
    panels, sources = _panels(op, products, weight, x, y, vector, positions, out_width)
    fields = {
        "panels": panels,
        "ones": np.pad(np.ones(run, np.uint8), (0, depth - run)) if products.zero_point is not None else None,
        "segments": segments,
        "segment_count": segments.size,
        "depth": weight.shape[2] * products.item,
        "width": out_width,
        "flat": int(flat),
        "x_row": x_row,
        "x_step": x_step,
        "y_row": to.pitch,
        "y_step": o * itemsize,
        "low": op.low,
        "high": op.high,
        "together": several,
        "zero_point": op.y_zero_point,
    }
    return RowStage(
        run="ig_gemm_rows",
        sources=(vector.source, *sources, CSource("vector/gemm_rows.h")),
        params=Struct("struct ig_gemm", fields),
        parts=panels.length,
        stride=op.strides[0],
        before=op.pads[0],
        taps=(kh - 1) * op.dilations[0] + 1,
        x_height=height,
        source=source,
        fill=op.x_zero_point + (products.moved if products.item == 2 else 0),
        out_height=out_height,
    )


def _panels(
    op: Conv2d, products: Products, weight: Ints, x: Tensor, y: Tensor, vector: Vector, positions: int, row: int
) -> tuple[StructArray, list[CSource]]:
    o, segments, depth = weight.shape
    long = y.type.bits > 8
    wide = op.requantize.wide
    zero_point = products.zero_point
    asymmetric = zero_point is not None
    bias = products.bias(op)
    factors = Factors.of(op, x.type)
    rows, sources = [], []
    outputs = o // op.groups
    most = vector.rows16 if vector.rows16 and products.item == 2 and not wide else vector.rows
    for group in range(op.groups):
        start = group * outputs
        for tile in tiles(most, outputs, positions, row, vector.lanes, segments * depth // products.step):
            local = channel_order(vector.lanes, tile.blocks, wide=long or wide) + (start - group * outputs)
            channels = np.where(local < outputs, local + group * outputs, -1)
            panel = {
                "weight": products.pack(weight, channels, vector),
                "weight_zero_point": None if zero_point is None else pick(zero_point, channels).reshape(-1),
                "rows": tile.rows,
                "input": group * op.weight.shape[-1] * products.item,
                "output": start * y.type.dtype.itemsize,
                "count": min(tile.blocks * vector.lanes, (group + 1) * outputs - start),
            }
            start += tile.blocks * vector.lanes
            if wide:
                source, more = wide_panel(op, bias, channels, tile.rows, y, vector)
                sources.append(source)
                rows.append({**panel, **more})
                continue
            form = factors.form(vector.forms, channels)
            assert form is not None
            full = bool((channels >= 0).all())
            clamped = op.low > np.iinfo(y.type.dtype).min or op.high < np.iinfo(y.type.dtype).max
            kind = f"{tile.rows}x{tile.blocks}{'' if full else '_part'}{'_clamped' if clamped else ''}"
            kind += f"_{'s16' if products.item == 2 else x.short}_{y.short}_{form}{'_asymmetric' if asymmetric else ''}"
            name = f"ig_tile_{kind}__{vector.isa}"
            defines = {
                "IG_NAME": name,
                "IG_ROWS_": tile.rows,
                "IG_BLOCKS_": tile.blocks,
                "IG_FLIP_": int(products.flip),
                "IG_FORM_": form,
                "IG_WIDE_": int(long),
                "IG_PACK": f"ig_pack_{'clamped_' if clamped else ''}{y.short}",
                "IG_FULL_": int(full),
                "IG_ASYMMETRIC_": int(asymmetric),
                "IG_INPUT16_": int(products.item == 2),
            }
            sources.append(CSource("vector/tile.h", tuple((k, str(v)) for k, v in defines.items())))
            rows.append(
                {
                    **panel,
                    "bias": pick(to_int32(bias), channels).reshape(-1),
                    "wide_bias": None,
                    "factors": factors.records(form, channels).reshape(-1),
                    "tile": Name(name),
                }
            )
    return StructArray("struct ig_panel", rows), sources


def tiles(most_rows: tuple[int, ...], outputs: int, positions: int, row: int, lanes: int, steps: int) -> list[Tile]:
    """The cheapest division of the output channels into panels, and the tile of each.

    Args:
        most_rows: for 1, 2, 3, ... vectors of output channels, the most output positions.
        outputs: channels.
        positions: neighbouring output positions that are computed in one go.
        row: positions of one image row, never fewer in one go.
        lanes: of a vector.
        steps: of four input bytes each.
    """
    blocks = -(-outputs // lanes)
    options = []
    for count, most in enumerate(most_rows, start=1):
        if count <= blocks:
            options.append(min((_cost(r, count, positions, steps), -r) for r in range(1, min(most, row) + 1)))
    best: list[tuple[float, tuple[Tile, ...]]] = [(0.0, ())]
    for total in range(1, blocks + 1):
        candidates = []
        for count, (cost, rows) in enumerate(options, start=1):
            if count <= total:
                before, chosen = best[total - count]
                candidates.append((before + cost, (*chosen, Tile(-rows, count))))
        best.append(min(candidates, key=lambda c: (c[0], len(c[1]))))
    return sorted(best[blocks][1], key=lambda t: -t.blocks)


def _cost(rows: int, blocks: int, positions: int, steps: int) -> float:
    """Cycles of a panel, roughly: products or loads, whichever bind, and the requantization of every vector."""
    calls = -(-positions // rows)
    step = max(rows * blocks, rows * 0.5 + blocks, 4)
    return calls * (steps * step + 3.5 * rows * blocks + 4 * blocks + 2 * rows + 12)
