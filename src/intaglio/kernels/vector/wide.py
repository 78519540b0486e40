"""Accumulators of more than 32 bits: sums of products in 32 bits as long as these fit, then added up in 64."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio.kernels.kernel import CSource, Name, Tensor, scale_function
from intaglio.kernels.vector.vector_isas import Ints, Vector, pick
from intaglio.program.weighted import Weighted

LARGEST = 1 << 31
REACH = 1 << 15  # of an input


def wide_segments(segments: Ints, weight: Ints) -> tuple[Ints, Ints, int]:
    """Segments so short that the products of each fit 32 bits, whatever the inputs are.

    Args:
        segments: int32, offsets in bytes.
        weight: int16 in the range of 9 bits, (O, segments, depth), depth a multiple of 2: one step always fits.
    Returns:
        Offsets, weights, and over how many segments a sum in 32 bits fits. Where a segment is cut, the last piece
        begins early and repeats some inputs with weights of 0, so that none is read behind the segment's end.
    """
    o, count, depth = weight.shape
    size = depth
    while True:
        starts = np.minimum(np.arange(-(-depth // size)) * size, depth - size)
        pieces = np.stack([weight[:, :, at : at + size] for at in starts], axis=2)
        repeated = starts.size * size - depth
        pieces[:, :, -1, :repeated] = 0
        pieces = pieces.reshape(o, count * starts.size, size)
        # A sum of products of 16-bit numbers reaches at most this.
        most = np.abs(pieces.astype(np.int64)).sum(axis=2) * REACH
        if (most < LARGEST).all():
            break
        size = -(-size // 4) * 2
    offsets = (segments[:, None] + 2 * starts).reshape(-1).astype(np.int32)
    together = 1
    while together < offsets.size and _fit(most, together + 1):
        together += 1
    return offsets, pieces, together


def _fit(most: Ints, together: int) -> bool:
    starts = np.arange(0, most.shape[1], together)
    return bool((np.add.reduceat(most, starts, axis=1) < LARGEST).all())


def wide_panel(
    op: Weighted, bias: Ints, channels: Ints, rows: int, y: Tensor, vector: Vector
) -> tuple[CSource, dict[str, Any]]:
    """The tile of a panel, and the members of `struct ig_panel` that differ.

    Args:
        op: the operator.
        bias: int64, (O,).
        channels: (blocks, lanes), in order; -1 for none.
        rows: output positions of the tile.
        y: the output.
        vector: the instruction set.
    """
    blocks = channels.shape[0]
    name = f"ig_tile_wide_{rows}x{blocks}_{y.short}_{op.requantize.rule.value}__{vector.isa}"
    defines = {
        "IG_NAME": name,
        "IG_ROWS_": rows,
        "IG_BLOCKS_": blocks,
        "IG_Y": y.c_type,
        "IG_SCALE": scale_function(op.requantize),
    }
    shape = (op.weight.shape[0],)
    multiplier = np.broadcast_to(op.requantize.multiplier.reshape(-1), shape)
    shift = np.broadcast_to(op.requantize.shift.reshape(-1), shape)
    factors = np.stack([pick(multiplier, channels, 1 << 30), pick(shift, channels)]).reshape(-1)
    fields = {
        "bias": None,
        "wide_bias": pick(bias, channels).reshape(-1),
        "factors": factors,
        "tile": Name(name),
    }
    return CSource("vector/tile_wide.h", tuple((k, str(v)) for k, v in defines.items())), fields
