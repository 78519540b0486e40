"""Place groups of buffers: greedy placement in several orders, then a bounded search over orders.

For two groups in use at the same time, some distances between their bases are forbidden. Placing one group after the
other at the lowest allowed address gives a plan, whose quality depends on the order. Without overlaps, some order gives
an optimal plan (increasing addresses of that plan), so searching over orders is sufficient.

Source: Pisarchyk and Lee 2020, arXiv:2001.03288 ("greedy by size", the lower bound).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from intaglio.codegen.memory import Arena, Buffer, Share, live_bytes, round_up, whole_units

BUDGET = 40_000  # group placements of the search; about a second


def place(buffers: Sequence[Buffer], alignment: int, shares: Sequence[Share] = ()) -> Arena:
    """Place all buffers in a small arena, by greedy placement in several orders and a bounded search.

    Deterministic: the search has a fixed seed and a counted budget.

    Args:
        buffers: buffers with distinct names.
        alignment: alignment of groups in bytes.
        shares: which pairs may overlap, and how.
    """
    sized = whole_units(buffers, alignment)
    live = live_bytes(sized, shares, alignment)
    bound = max(live, default=0)
    bases, nbytes = _search(sized, shares, alignment, bound)
    offsets = {b.name: bases[b.home] + b.at for b in sized}
    return Arena(tuple(buffers), offsets, bases, nbytes, bound, alignment, tuple(shares), tuple(live))


@dataclass(frozen=True)
class _Gap:
    """Forbidden distances between the bases of two groups: low < distance < high, except `free`."""

    low: int
    high: int
    free: int | None = None


class _Groups:
    """Groups of buffers and the forbidden distances between them."""

    def __init__(self, buffers: Sequence[Buffer], shares: Sequence[Share], alignment: int) -> None:
        self.alignment = alignment
        self.members: dict[str, list[Buffer]] = {}
        for b in buffers:
            self.members.setdefault(b.home, []).append(b)
        self.names = list(self.members)
        self.extent = {
            name: round_up(max(b.at + b.nbytes for b in members), alignment) for name, members in self.members.items()
        }
        rules = {(s.before, s.after): s for s in shares}
        self.gaps: dict[str, dict[str, list[_Gap]]] = {name: {} for name in self.names}
        for one, other in self._together():
            gaps = list(self._between(one, other, rules))
            if gaps:
                self.gaps[one][other] = gaps
                self.gaps[other][one] = [_Gap(-g.high, -g.low, None if g.free is None else -g.free) for g in gaps]

    def _together(self) -> list[tuple[str, str]]:
        """List the pairs of groups that are in use at the same time; the time in use is taken without its gaps."""
        spans = [
            (min(b.first for b in self.members[name]), max(b.last for b in self.members[name]), index)
            for index, name in enumerate(self.names)
        ]
        pairs: list[tuple[int, int]] = []
        active: list[tuple[int, int]] = []
        for first, last, index in sorted(spans):
            active = [(end, other) for end, other in active if end >= first]
            pairs += [(max(index, other), min(index, other)) for _, other in active]
            active.append((last, index))
        return [(self.names[one], self.names[other]) for one, other in sorted(pairs)]

    def _between(self, one: str, other: str, rules: dict[tuple[str, str], Share]) -> Iterator[_Gap]:
        """Yield forbidden distances base(one) - base(other)."""
        for a in self.members[one]:
            for b in self.members[other]:
                if a.first > b.last or b.first > a.last:
                    continue
                shift = b.at - a.at  # base(one) - base(other) = start(a) - start(b) + shift
                low, high, free = -a.nbytes, b.nbytes, None
                after = rules.get((b.name, a.name))  # a may overlap b
                before = rules.get((a.name, b.name))  # b may overlap a
                if after is not None:
                    free = after.at
                    low = low if after.lead is None else max(low, -after.lead)
                    high = high if after.trail is None else min(high, after.trail)
                elif before is not None:
                    free = None if before.at is None else -before.at
                    high = high if before.lead is None else min(high, before.lead)
                    low = low if before.trail is None else max(low, -before.trail)
                yield _Gap(low + shift, high + shift, None if free is None else free + shift)

    def place(self, order: Sequence[str], limit: int | None = None) -> tuple[dict[str, int], int] | None:
        """Place groups in this order; return bases and bytes, or None if `limit` bytes or more are needed."""
        bases: dict[str, int] = {}
        bottom = top = 0
        for name in order:
            taken = [
                (bases[other] + g.low, bases[other] + g.high, None if g.free is None else bases[other] + g.free)
                for other, gaps in self.gaps[name].items()
                if other in bases
                for g in gaps
            ]
            best = None
            for base in self._candidates(taken, bottom):
                if all(base <= low or base >= high or base == free for low, high, free in taken):
                    grown = max(top, base + self.extent[name]) - min(bottom, base)
                    rank = (grown, not any(base == free for _, _, free in taken), base < bottom, base)
                    best = rank if best is None or rank < best else best
            assert best is not None  # there is always room after all others
            bases[name] = best[3]
            top, bottom = max(top, best[3] + self.extent[name]), min(bottom, best[3])
            if limit is not None and top - bottom >= limit:
                return None
        return {name: base - bottom for name, base in bases.items()}, top - bottom

    def _candidates(self, taken: Sequence[tuple[int, int, int | None]], bottom: int) -> set[int]:
        unit = self.alignment
        found = {bottom}
        for low, high, free in taken:
            found.add(low // unit * unit)
            found.add(-(-high // unit) * unit)
            if free is not None and free % unit == 0:
                found.add(free)
        return found


def _search(
    buffers: Sequence[Buffer], shares: Sequence[Share], alignment: int, bound: int
) -> tuple[dict[str, int], int]:
    """Search for a small plan; return the groups' bases and the bytes.

    Args:
        buffers: buffers with rounded sizes.
        bound: stop when a plan needs only this many bytes.
    """
    groups = _Groups(buffers, shares, alignment)
    best: tuple[dict[str, int], int] | None = None
    order: list[str] = groups.names
    for key in _keys(groups):
        attempt = sorted(groups.names, key=key)
        found = groups.place(attempt, None if best is None else best[1])
        if found is not None:
            best, order = found, attempt
        if best is not None and best[1] <= bound:
            return best
    assert best is not None
    return _improve(groups, order, best, bound)


def _keys(groups: _Groups) -> Iterator[Callable[[str], tuple[int, ...]]]:
    position = {name: i for i, name in enumerate(groups.names)}
    first = {name: min(b.first for b in members) for name, members in groups.members.items()}
    last = {name: max(b.last for b in members) for name, members in groups.members.items()}
    load = {
        name: groups.extent[name] + sum(groups.extent[other] for other in others)
        for name, others in groups.gaps.items()
    }
    yield lambda n: (-groups.extent[n], first[n], position[n])
    yield lambda n: (-load[n], -groups.extent[n], position[n])
    yield lambda n: (-groups.extent[n] * (last[n] - first[n] + 1), position[n])
    yield lambda n: (first[n] - last[n], -groups.extent[n], position[n])
    yield lambda n: (-last[n], -groups.extent[n], position[n])
    yield lambda n: (first[n], -groups.extent[n], position[n])


def _improve(
    groups: _Groups, order: list[str], best: tuple[dict[str, int], int], bound: int
) -> tuple[dict[str, int], int]:
    """Move groups to earlier positions in the order, mostly those at the top, and keep orders that are not worse."""
    rng = random.Random(0)
    for _ in range(BUDGET // max(1, len(order))):
        if best[1] <= bound or len(order) < 2:
            break
        bases, nbytes = best
        top = [name for name in order[1:] if bases[name] + groups.extent[name] == nbytes]
        name = rng.choice(top if top and rng.random() < 0.5 else order[1:])
        rest = [n for n in order if n != name]
        rest.insert(rng.randrange(order.index(name)), name)
        found = groups.place(rest, nbytes + 1)
        if found is not None:
            best, order = found, rest
    return best
