"""Instruction sets with vectors of 32-bit lanes, and the order in which the kernels want their constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.kernels.kernel import CSource

Ints = NDArray[Any]


@dataclass(frozen=True)
class Vector:
    """An instruction set as the vector kernels see it.

    Args:
        isa: its name in the tables, and its header's in `kernels/isa/`.
        lanes: 32-bit lanes of a vector.
        rows: for 1, 2, 3, ... vectors of output channels: the most output positions whose accumulators fit the
            registers.
        rows16: the same for inputs and weights of 16 bits; None: as `rows`.
        unsigned: whether the products take unsigned inputs (signed ones are flipped), or signed ones.
        forms: of requantization that it has, cheapest first.
        below: output rows that a depthwise tile computes at once, at most.
        widen: whether products of 16-bit numbers cost less than those of bytes, so that widening the inputs pays.
        planar: of pairs of 16-bit numbers, whether the first ones of all lanes come before the second ones.
        signs: whether products of signed bytes cost least with the signs of one factor moved to the other
            (`ig_dot_signs`).
    """

    isa: str
    lanes: int
    rows: tuple[int, ...]
    rows16: tuple[int, ...] | None = None
    unsigned: bool = True
    forms: tuple[str, ...] = ("fast", "left", "tflite", "shift", "even")
    below: int = 1
    widen: bool = False
    planar: bool = False
    signs: bool = False

    @property
    def source(self) -> CSource:
        """The header, to be included before any template that needs it."""
        return CSource(f"isa/{self.isa}.h")


_ALL = ("fast", "left", "half_up", "tflite", "shift", "even")
VECTORS = {
    v.isa: v
    for v in (
        Vector("avx512vnni", 16, (16, 12, 8, 6), forms=_ALL, below=2),
        Vector("avx512", 16, (12, 8, 6, 5), forms=_ALL, below=2, widen=True, signs=True),
        Vector("avxvnni", 8, (10, 5, 3)),
        Vector("avx2", 8, (8, 4, 2), rows16=(12, 6, 3), widen=True, signs=True),
        Vector("neondot", 4, (14, 12, 8, 6), unsigned=False, below=2, planar=True),
        Vector("neon", 4, (12, 10, 7, 5), unsigned=False, below=2, widen=True, planar=True),
    )
}


def groups(blocks: int) -> tuple[int, ...]:
    """How many vectors are packed together, for a panel of so many: fours, then two, then one."""
    return (*(4,) * (blocks // 4), *{0: (), 1: (1,), 2: (2,), 3: (2, 1)}[blocks % 4])


def channel_order(lanes: int, blocks: int, *, wide: bool = False) -> Ints:
    """Channel of every lane of every vector of a panel, (blocks, lanes).

    Packing a group of g vectors puts lane 4 L + e of vector b at byte 4 g L + 4 b + e; codes of 16 bits (`wide`) are
    stored vector by vector.
    """
    parts, start = [], 0
    for size in (1,) * blocks if wide else groups(blocks):
        b, lane = np.ogrid[:size, :lanes]
        parts.append(start + 4 * size * (lane // 4) + 4 * b + lane % 4)
        start += size * lanes
    return np.concatenate(parts)


def pick(values: Ints, channels: Ints, fill: int = 0) -> Ints:
    """values[..., channel] for every lane, `fill` where there is none."""
    out = np.asarray(values)[..., np.maximum(channels, 0)]
    return np.where(channels >= 0, out, np.asarray(fill, out.dtype))
