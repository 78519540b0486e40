"""The memory plan: one arena, an offset for every tensor in between and for the working memory of every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """A stretch of memory that is in use from step `first` to step `last`, both included."""

    name: str
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Arena:
    """Where every buffer lies.

    Args:
        buffers: all of them.
        offsets: of each, by name; multiples of `alignment`.
        nbytes: of the whole.
        lower_bound: bytes that are live at once in the fullest step; no plan of this order is smaller.
        alignment: in bytes.
    """

    buffers: tuple[Buffer, ...]
    offsets: Mapping[str, int]
    nbytes: int
    lower_bound: int
    alignment: int


def place(buffers: Sequence[Buffer], alignment: int) -> Arena:
    """Offsets by best fit, largest buffers first.

    Source: Pisarchyk and Lee 2020, arXiv:2001.03288, "greedy by size".
    """

    def up(n: int) -> int:
        return -(-n // alignment) * alignment

    offsets: dict[str, int] = {}
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: (-b.nbytes, b.first, b.name)):
        neighbours = sorted(
            (offsets[b.name], offsets[b.name] + up(b.nbytes))
            for b in placed
            if b.first <= buffer.last and buffer.first <= b.last
        )
        best, best_gap, at = None, None, 0
        for start, stop in neighbours:
            gap = start - at
            if gap >= up(buffer.nbytes) and (best_gap is None or gap < best_gap):
                best, best_gap = at, gap
            at = max(at, stop)
        offsets[buffer.name] = at if best is None else best
        placed.append(buffer)
    total = max((offsets[b.name] + up(b.nbytes) for b in buffers), default=0)
    steps = range(max((b.last for b in buffers), default=-1) + 1)
    live = max((sum(up(b.nbytes) for b in buffers if b.first <= s <= b.last) for s in steps), default=0)
    return Arena(tuple(buffers), offsets, total, live, alignment)
