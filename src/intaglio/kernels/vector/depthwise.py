"""Depthwise convolutions as stages of a pipeline of rows."""

from __future__ import annotations

import numpy as np

from intaglio.kernels.kernel import CSource, Name, Struct, StructArray, Tensor
from intaglio.kernels.vector.depthwise16 import depthwise16_stage
from intaglio.kernels.vector.row_factors import Factors
from intaglio.kernels.vector.row_gemm import serves
from intaglio.kernels.vector.row_stage import Layout, RowStage
from intaglio.kernels.vector.vector_isas import Ints, Vector, channel_order, pick
from intaglio.program.operators.conv2d import Conv2d


def is_depthwise(op: Conv2d, x: Tensor) -> bool:
    """One input channel per output."""
    return op.groups == x.shape[-1] == op.weight.shape[0] and op.groups > 1


def serves_depthwise(op: Conv2d, x: Tensor, y: Tensor, vector: Vector) -> bool:
    """What `gemm.serves` asks for, no wide accumulators; of 8-bit inputs 8-bit outputs."""
    return serves(op, x, y, vector) and not op.requantize.wide and (x.type.bits > 8 or y.type.bits <= 8)


def depthwise_stage(op: Conv2d, x: Tensor, y: Tensor, vector: Vector, to: Layout) -> RowStage:
    """The stage of a depthwise convolution; the arguments are those of `gemm_stage`."""
    if x.type.bits > 8:
        return depthwise16_stage(op, x, y, vector, to)
    _, height, width, channels = x.shape
    _, kh, kw, _ = op.weight.shape
    bordered = any(op.pads)
    source = Layout.bordered(width, channels, op.pads[1], op.pads[3]) if bordered else Layout.plain(width, channels)
    out_height, out_width = y.shape[1:3]
    flip = x.type.signed == vector.unsigned
    moved = (128 if vector.unsigned else -128) if flip else 0
    centred = op.centred().reshape(channels, kh, kw)
    weight = signed_bytes(centred)
    terms = len(weight)
    sums = centred.reshape(channels, -1).sum(axis=1, dtype=np.int64)
    bias = (op.bias - (op.x_zero_point + moved) * sums).astype(np.int64).astype(np.uint32).view(np.int32)
    factors = Factors.of(op, x.type)
    groups, sources = [], []
    for start, spread in _groups(channels, out_width, vector):
        of = start + channel_order(vector.lanes // spread, 4)
        of = np.tile(np.where(of < channels, of, -1), (1, spread))
        form = factors.form(vector.forms, of)
        assert form is not None
        positions = _positions(kw, op.strides[1] if op.dilations[1] == 1 else 0, out_width // spread)
        window = kw + positions - 1
        chunks = -(-window // 4)
        tiles: list[Name | None] = []
        for rows in (1, 2):
            if rows == 2 and (vector.below < 2 or chunks > 1 or kh + op.strides[0] > 5 or op.dilations[0] > 1):
                tiles.append(None)
                continue
            full = bool((of >= 0).all())
            clamped = op.low > np.iinfo(y.type.dtype).min or op.high < np.iinfo(y.type.dtype).max
            kind = f"{kh}x{chunks}s{op.strides[0]}_{rows}x{positions}x{spread}"
            kind += f"{'' if full else '_part'}{'_clamped' if clamped else ''}{f'_{terms}' if terms > 1 else ''}"
            name = f"ig_depthwise_{kind}_{x.short}_{y.short}_{form}__{vector.isa}"
            defines = {
                "IG_NAME": name,
                "IG_KERNEL_ROWS_": kh,
                "IG_CHUNKS_": chunks,
                "IG_POSITIONS_": positions,
                "IG_SPREAD_": spread,
                "IG_ROWS_": rows,
                "IG_TERMS_": terms,
                "IG_INPUT_ROWS_": kh + op.strides[0],
                "IG_STRIDE_": op.strides[0],
                "IG_FLIP_": int(flip),
                "IG_FULL_": int(full),
                "IG_PACK": f"ig_pack_{'clamped_' if clamped else ''}{y.short}",
                "IG_FORM_": form,
            }
            sources.append(CSource("vector/depthwise_tile.h", tuple((k, str(v)) for k, v in defines.items())))
            tiles.append(Name(name))
        groups.append(
            {
                "weight": _pack(weight, of, positions, chunks),
                "bias": pick(bias, of).reshape(-1),
                "factors": factors.records(form, of).reshape(-1),
                "tile": tiles[0],
                "tile2": tiles[1],
                "input": start,
                "output": start,
                "count": min(4 * vector.lanes // spread, channels - start),
                "width": positions * spread,
                "columns": np.minimum(np.arange(chunks * 4), window - 1).astype(np.int32) * op.dilations[1] * channels,
                "taps": 0,
            }
        )
    fields = {
        "groups": StructArray("struct ig_group", groups),
        "row_step": op.dilations[0] * source.pitch,
        "width": out_width,
        "x_row": op.strides[0] * source.pitch,
        "x_step": op.strides[1] * channels,
        "y_row": to.pitch,
        "y_step": channels,
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
        fill=op.x_zero_point,
        out_height=out_height,
    )


def _groups(channels: int, width: int, vector: Vector) -> list[tuple[int, int]]:
    """First channel and spread of every group: whole ones, then halves and quarters for what is left."""
    whole = 4 * vector.lanes
    found, start = [], 0
    while start < channels:
        left = channels - start
        spread = next((s for s in (4, 2) if left * s <= whole and s <= width and vector.lanes // s >= 4), 1)
        found.append((start, spread))
        start += whole // spread
    return found


def _positions(kw: int, stride: int, width: int) -> int:
    """Outputs that share columns: as many as the last chunk of four has room for, where the stride is 1."""
    if stride != 1 or kw == 1:
        return 1
    return max(1, min(2, width, 4 * -(-kw // 4) - kw + 1))


def signed_bytes(weight: Ints) -> Ints:
    """Integers as sums of as few signed bytes as suffice, int8, (terms, ...): weights without their zero points."""
    count = next(n for n in (1, 2, 3) if -128 * n <= weight.min() and weight.max() <= 127 * n)
    return np.stack([(weight + k) // count for k in range(count)]).astype(np.int8)


def _pack(weight: Ints, of: Ints, positions: int, chunks: int) -> Ints:
    """(terms, C, kh, kw) to [kh][chunks][positions][terms][4][lanes][4], int8; position j's taps are moved by j."""
    vectors, lanes = of.shape
    terms, _, kh, kw = weight.shape
    picked = np.where(of[..., None, None] >= 0, weight[:, np.maximum(of, 0)], 0)
    out = np.zeros((kh, positions, terms, vectors, lanes, chunks * 4), np.int8)
    for j in range(positions):
        out[:, j, ..., j : j + kw] = picked.transpose(3, 0, 1, 2, 4)
    split = out.reshape(kh, positions, terms, vectors, lanes, chunks, 4)
    return np.ascontiguousarray(split.transpose(0, 5, 1, 2, 3, 4, 6)).reshape(-1)
