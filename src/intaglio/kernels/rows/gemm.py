"""Convolutions and dense layers as stages of a pipeline of rows: tiles, panels and packed weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.kernels.kernel import Name, Source, Struct, StructArray, Tensor, int8_codes
from intaglio.kernels.rows.factors import Factors
from intaglio.kernels.rows.stage import Layout, Stage
from intaglio.kernels.rows.vector import Ints, Vector, channel_order, pick
from intaglio.number import INT16
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.weighted import Weighted


@dataclass(frozen=True)
class Tile:
    """Output positions by vectors of output channels."""

    rows: int
    blocks: int


def serves(op: Weighted, x: Tensor, y: Tensor, vector: Vector) -> bool:
    """Whether the tiles compute this: 8-bit inputs, outputs of 8 bits or int16, a form of requantization."""
    return (
        x.shape[0] == 1
        and x.type.bits <= 8
        and (y.type.bits <= 8 or y.type == INT16)
        and op.weight_type.bits <= 8
        and Factors.of(op, x.type).form(vector.forms) is not None
    )


def gemm_stage(op: Conv2d, x: Tensor, y: Tensor, vector: Vector, to: Layout) -> Stage:
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
    run = kw * each if together else each
    depth = -(-run // 4) * 4
    bordered = any(op.pads) or depth != run
    source = (
        Layout.bordered(width, channels, op.pads[1], op.pads[3], slack=4) if bordered else Layout.plain(width, channels)
    )
    itemsize = y.type.dtype.itemsize
    u = np.arange(kh) * op.dilations[0] * source.pitch
    v = np.zeros(1, np.int64) if together else np.arange(kw) * op.dilations[1] * channels
    segments = (u[:, None] + v).reshape(-1).astype(np.int32)
    out_height, out_width = y.shape[1:3]
    x_row, x_step = op.strides[0] * source.pitch, op.strides[1] * channels
    flat = x_row == out_width * x_step and to.pitch == out_width * o * itemsize and not bordered
    panels, sources = _panels(
        op, y, vector, out_width * (out_height if flat else 1), out_width, depth, segments.size, x
    )
    fields = {
        "panels": panels,
        "ones": np.pad(np.ones(run, np.uint8), (0, depth - run)) if op.weight_zero_point.any() else None,
        "segments": segments,
        "segment_count": segments.size,
        "depth": depth,
        "width": out_width,
        "flat": int(flat),
        "x_row": x_row,
        "x_step": x_step,
        "y_row": to.pitch,
        "y_step": o * itemsize,
        "low": op.low,
        "high": op.high,
    }
    return Stage(
        run="ig_gemm_rows",
        sources=(vector.source, *sources, Source("rows/gemm_rows.h")),
        params=Struct("struct ig_gemm", fields),
        parts=panels.length,
        stride=op.strides[0],
        before=op.pads[0],
        taps=(kh - 1) * op.dilations[0] + 1,
        x_height=height,
        source=source,
        fill=op.x_zero_point,
        out_height=out_height,
        weight_bytes=op.weight.size,
    )


def _panels(
    op: Conv2d, y: Tensor, vector: Vector, positions: int, row: int, depth: int, segments: int, x: Tensor
) -> tuple[StructArray, list[Source]]:
    o, each = op.weight.shape[0], op.weight.shape[-1]
    flip = x.type.signed == vector.unsigned
    wide = y.type.bits > 8
    codes, zero_point = int8_codes(op.weight, op.weight_zero_point)
    asymmetric = bool(zero_point.any())
    zero_point = np.broadcast_to(zero_point.reshape(-1), (o,))
    weight = codes.reshape(o, segments, -1)
    real = weight[0].size
    weight = np.pad(weight, ((0, 0), (0, 0), (0, depth - weight.shape[-1])))
    moved = (128 if vector.unsigned else -128) if flip else 0
    sums = weight.reshape(o, -1).sum(axis=1, dtype=np.int64) - zero_point.astype(np.int64) * real
    # Modulo 2**32: the accumulator itself is proved to fit, whatever happens on the way.
    bias = (op.bias - (op.x_zero_point + moved) * sums).astype(np.int64).astype(np.uint32).view(np.int32)
    factors = Factors.of(op, x.type)
    rows, sources = [], []
    outputs = o // op.groups
    for group in range(op.groups):
        start = group * outputs
        for tile in tiles(vector, outputs, positions, row, segments * depth // 4):
            local = channel_order(vector.lanes, tile.blocks, wide=wide) + (start - group * outputs)
            channels = np.where(local < outputs, local + group * outputs, -1)
            form = factors.form(vector.forms, channels)
            assert form is not None
            full = bool((channels >= 0).all())
            clamped = op.low > np.iinfo(y.type.dtype).min or op.high < np.iinfo(y.type.dtype).max
            kind = f"{tile.rows}x{tile.blocks}{'' if full else '_part'}{'_clamped' if clamped else ''}"
            kind += f"_{x.short}_{y.short}_{form}{'_asymmetric' if asymmetric else ''}"
            name = f"ig_tile_{kind}__{vector.isa}"
            defines = {
                "IG_NAME": name,
                "IG_ROWS_": tile.rows,
                "IG_BLOCKS_": tile.blocks,
                "IG_FLIP_": int(flip),
                "IG_FORM_": form,
                "IG_WIDE_": int(wide),
                "IG_PACK": f"ig_pack_{'clamped_' if clamped else ''}{y.short}",
                "IG_FULL_": int(full),
                "IG_ASYMMETRIC_": int(asymmetric),
            }
            sources.append(Source("rows/tile.h", tuple((k, str(v)) for k, v in defines.items())))
            rows.append(
                {
                    "weight": _pack(weight, channels),
                    "bias": pick(bias, channels).reshape(-1),
                    "factors": factors.records(form, channels).reshape(-1),
                    "weight_zero_point": pick(zero_point, channels).reshape(-1) if asymmetric else None,
                    "tile": Name(name),
                    "rows": tile.rows,
                    "input": group * each,
                    "output": start * y.type.dtype.itemsize,
                    "count": min(tile.blocks * vector.lanes, (group + 1) * outputs - start),
                }
            )
            start += tile.blocks * vector.lanes
    return StructArray("struct ig_panel", rows), sources


def _pack(weight: Ints, channels: Ints) -> Ints:
    """(O, segments, depth) to [segments][depth / 4][blocks][lanes][4], int8."""
    _, segments, depth = weight.shape
    picked = np.where(channels.reshape(-1)[:, None, None] >= 0, weight[np.maximum(channels.reshape(-1), 0)], 0)
    quads = picked.reshape(*channels.shape, segments, depth // 4, 4)
    return np.ascontiguousarray(quads.transpose(2, 3, 0, 1, 4)).astype(np.int8).reshape(-1)


def tiles(vector: Vector, outputs: int, positions: int, row: int, steps: int) -> list[Tile]:
    """The cheapest division of the output channels into panels, and the tile of each.

    Args:
        vector: the instruction set.
        outputs: channels.
        positions: neighbouring output positions that are computed in one go.
        row: positions of one image row, never fewer in one go.
        steps: of four input bytes each.
    """
    blocks = -(-outputs // vector.lanes)
    options = []
    for count, most in enumerate(vector.rows, start=1):
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
