"""What a memory plan is made of: buffers with lifetimes, leave to share, and the arena that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Buffer:
    """A stretch of memory that is in use from step `first` to step `last`, both included.

    Args:
        name: unique.
        nbytes: its size.
        first, last: steps.
        group: buffers of one group lie at fixed distances from each other; its own name where it lies alone.
        at: its first byte in the group.
    """

    name: str
    nbytes: int
    first: int
    last: int
    group: str = ""
    at: int = 0

    @property
    def home(self) -> str:
        """The group."""
        return self.group or self.name


@dataclass(frozen=True)
class Share:
    """Leave for a step's output to lie over an input that nobody reads afterwards.

    Args:
        before: the buffer that is read for the last time as `after` is written.
        after: the buffer that is written.
        at: element for element: `after` begins exactly this many bytes behind the beginning of `before`; or None.
        lead: row by row, first row first: `after` begins this many bytes or more ahead of `before`; or None.
        trail: row by row, last row first: `after` begins this many bytes or more behind the beginning of `before`.
    """

    before: str
    after: str
    at: int | None = None
    lead: int | None = None
    trail: int | None = None


@dataclass(frozen=True)
class Arena:
    """Where every buffer lies.

    Args:
        buffers: all of them.
        offsets: of each, by name.
        bases: of each group, by name; multiples of `alignment`.
        nbytes: of the whole.
        lower_bound: bytes that are live at once in the fullest step; no plan of this order is smaller.
        alignment: in bytes.
        shares: which buffers may lie over each other.
        live: bytes that are live at once, by step.
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
        """Steps that must run their rows from the last to the first: their output overlaps the input and trails it."""
        by_name = {b.name: b for b in self.buffers}
        found = set()
        for share in self.shares:
            before, after = by_name[share.before], by_name[share.after]
            distance = self.offsets[after.name] - self.offsets[before.name]
            if share.trail is not None and share.trail <= distance < before.nbytes:
                found.add(after.first)
        return frozenset(found)


def round_up(n: int, alignment: int) -> int:
    """The next multiple."""
    return -(-n // alignment) * alignment


def whole_units(buffers: Sequence[Buffer], alignment: int) -> list[Buffer]:
    """The buffers with the bytes that they really take: one that lies alone fills its last unit of alignment."""
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
    """Bytes live at once in every step, where whatever may overlap does.

    Args:
        buffers: with the sizes that they take.
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
    """The most bytes that two buffers of these sizes have in common under a share."""
    most = 0
    if share.at is not None and share.at % alignment == 0:
        most = max(0, min(share.at + after, before) - max(share.at, 0))
    if share.lead is not None:
        most = max(most, min(after - round_up(share.lead, alignment), before))
    if share.trail is not None:
        most = max(most, min(before - round_up(share.trail, alignment), after))
    return most
