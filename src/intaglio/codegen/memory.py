"""Data classes of a memory plan: buffers with lifetimes, allowed overlaps, and the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Buffer:
    """Memory that is in use from step `first` to step `last`, inclusive.

    Args:
        name: unique name.
        nbytes: size in bytes.
        first, last: first and last step.
        group: buffers of one group have fixed distances from each other; empty for a buffer on its own.
        at: first byte within the group.
    """

    name: str
    nbytes: int
    first: int
    last: int
    group: str = ""
    at: int = 0

    @property
    def home(self) -> str:
        """Name of the group; of the buffer itself if it has none."""
        return self.group or self.name


@dataclass(frozen=True)
class Share:
    """Permission for a step's output to overlap an input that is not read afterwards.

    Args:
        before: buffer that is read for the last time while `after` is written.
        after: buffer that is written.
        at: element by element: `after` begins exactly this many bytes after the beginning of `before`; or None.
        lead: row by row, first row first: `after` begins at least this many bytes before `before`; or None.
        trail: row by row, last row first: `after` begins at least this many bytes after the beginning of `before`.
    """

    before: str
    after: str
    at: int | None = None
    lead: int | None = None
    trail: int | None = None


@dataclass(frozen=True)
class Arena:
    """Memory plan: offsets of all buffers.

    Args:
        buffers: all buffers.
        offsets: offset of each buffer, by name.
        bases: offset of each group, by name; multiples of `alignment`.
        nbytes: size of the arena in bytes.
        lower_bound: most bytes live at the same time; no plan for this order of steps is smaller.
        alignment: alignment in bytes.
        shares: which buffers may overlap.
        live: bytes live at the same time, by step.
    """

    buffers: tuple[Buffer, ...]
    offsets: Mapping[str, int]
    bases: Mapping[str, int]
    nbytes: int
    lower_bound: int
    alignment: int
    shares: tuple[Share, ...] = ()
    live: tuple[int, ...] = ()

    @cached_property
    def backward(self) -> frozenset[int]:
        """Steps that must process rows from last to first, because their output begins inside their input."""
        by_name = {b.name: b for b in self.buffers}
        found = set()
        for share in self.shares:
            before, after = by_name[share.before], by_name[share.after]
            distance = self.offsets[after.name] - self.offsets[before.name]
            if share.trail is not None and share.trail <= distance < before.nbytes:
                found.add(after.first)
        return frozenset(found)


def round_up(n: int, alignment: int) -> int:
    """Round up to a multiple of the alignment."""
    return -(-n // alignment) * alignment


def whole_units(buffers: Sequence[Buffer], alignment: int) -> list[Buffer]:
    """Round the sizes of buffers without a group up to the alignment."""
    members: dict[str, int] = {}
    for b in buffers:
        members[b.home] = members.get(b.home, 0) + 1
    return [
        Buffer(
            b.name, round_up(b.nbytes, alignment) if members[b.home] == 1 else b.nbytes, b.first, b.last, b.home, b.at
        )
        for b in buffers
    ]


def live_bytes(buffers: Sequence[Buffer], shares: Sequence[Share], alignment: int) -> list[int]:
    """Return the bytes live at the same time in each step, if all allowed overlaps are used.

    Args:
        buffers: buffers with rounded sizes.
    """
    change = [0] * (max((b.last for b in buffers), default=-1) + 2)
    by_name = {b.name: b for b in buffers}
    for b in buffers:
        change[b.first] += b.nbytes
        change[b.last + 1] -= b.nbytes
    live, now = [], 0
    for delta in change[:-1]:
        now += delta
        live.append(now)
    saved: dict[str, int] = {}
    for share in shares:
        saved[share.after] = saved.get(share.after, 0) + common_bytes(
            share, by_name[share.before].nbytes, by_name[share.after].nbytes, alignment
        )
    for name, common in saved.items():
        live[by_name[name].first] -= min(common, by_name[name].nbytes)
    return live


def common_bytes(share: Share, before: int, after: int, alignment: int) -> int:
    """Return the largest possible overlap in bytes of two buffers of these sizes."""
    most = 0
    if share.at is not None and share.at % alignment == 0:
        most = max(0, min(share.at + after, before) - max(share.at, 0))
    if share.lead is not None:
        most = max(most, min(after - round_up(share.lead, alignment), before))
    if share.trail is not None:
        most = max(most, min(before - round_up(share.trail, alignment), after))
    return most
