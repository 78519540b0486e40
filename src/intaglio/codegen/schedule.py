"""Find an order of steps with a low peak of memory; every reader runs after its writer.

The bytes in use after a set of steps do not depend on their order, so the lowest peak with which a set can be reached
is a shortest path over sets. Sets are visited by size; each step that can run next leads to another set. If a step
frees at least what it writes and stays below the peak so far, it is run at once and other successors are skipped. With
more than `WIDTH` sets of one size only the best are kept, and the result may not be optimal.

Source: Liberis and Lane 2019, arXiv:1910.05110 (operator reordering for microcontrollers, over sets of tensors).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WIDTH = 500


@dataclass(frozen=True)
class Task:
    """Step as the scheduler sees it.

    Args:
        reads: values that it reads.
        writes: value that it writes.
        scratch: bytes of working memory.
        common: bytes that the output may share with a value, by value, if this is its last reader.
    """

    reads: tuple[str, ...]
    writes: str
    scratch: int = 0
    common: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskOrder:
    """Order of steps.

    Args:
        order: indices of the tasks.
        peak: most bytes live at the same time.
        given: the same for the given order.
        exact: whether no order has a lower peak.
    """

    order: tuple[int, ...]
    peak: int
    given: int
    exact: bool


@dataclass(frozen=True)
class _State:
    """Set of tasks that have run."""

    done: int
    ready: tuple[int, ...]
    live: int
    peak: int
    total: int
    path: tuple[int, ...]


class _Network:
    """Tasks as bit sets."""

    def __init__(self, tasks: Sequence[Task], sizes: Mapping[str, int], keep: frozenset[str]) -> None:
        self.tasks = tasks
        self.sizes = sizes
        self.keep = keep
        self.readers: dict[str, int] = {}
        for i, task in enumerate(tasks):
            for value in task.reads:
                self.readers[value] = self.readers.get(value, 0) | 1 << i
        writers = {task.writes: i for i, task in enumerate(tasks)}
        self.before = [sum(1 << w for w in {writers[v] for v in task.reads if v in writers}) for task in tasks]
        self.after: list[list[int]] = [[] for _ in tasks]
        for i, needed in enumerate(self.before):
            for w in range(len(tasks)):
                if needed >> w & 1:
                    self.after[w].append(i)

    def start(self, values: Sequence[str]) -> _State:
        """Return the state before any task, with `values` in memory."""
        live = sum(self.sizes.get(v, 0) for v in values if v in self.keep or self.readers.get(v))
        return _State(0, tuple(i for i, needed in enumerate(self.before) if not needed), live, live, 0, ())

    def run(self, state: _State, i: int) -> _State:
        """Run one more task."""
        task = self.tasks[i]
        done = state.done | 1 << i
        size = self.sizes.get(task.writes, 0)
        dying = [v for v in dict.fromkeys(task.reads) if v not in self.keep and not self.readers[v] & ~done]
        common = min(size, sum(task.common.get(v, 0) for v in dying))
        during = state.live + size + task.scratch - common
        live = state.live + size - sum(self.sizes.get(v, 0) for v in dying)
        if task.writes not in self.keep and not self.readers.get(task.writes):
            live -= size
        ready = [r for r in state.ready if r != i]
        ready += [a for a in self.after[i] if not self.before[a] & ~done]
        return _State(done, tuple(sorted(ready)), live, max(state.peak, during), state.total + during, (*state.path, i))


def find_order(
    tasks: Sequence[Task],
    sizes: Mapping[str, int],
    start: Sequence[str] = (),
    keep: Sequence[str] = (),
    width: int = WIDTH,
) -> TaskOrder:
    """Find an order with a low peak; the given order if no better one is found.

    Args:
        tasks: tasks in a valid order.
        sizes: bytes of each value; others take none.
        start: values that exist from the beginning.
        keep: values that are kept to the end.
        width: most sets of one size that are kept.
    """
    network = _Network(tasks, sizes, frozenset(keep))
    state = network.start(start)
    for i in range(len(tasks)):
        state = network.run(state, i)
    given = state.peak
    exact = True
    states = {0: network.start(start)}
    for _ in tasks:
        found: dict[int, _State] = {}
        for known in states.values():
            for nxt in _successors(network, known):
                # keep the given order unless another one has a lower peak
                if nxt.peak < given:
                    old = found.get(nxt.done)
                    if old is None or (nxt.peak, nxt.total, nxt.path) < (old.peak, old.total, old.path):
                        found[nxt.done] = nxt
        if len(found) > width:
            exact = False
            best = sorted(found.values(), key=lambda s: (s.peak, s.live, s.total, s.path))[:width]
            found = {s.done: s for s in best}
        states = found
        if not states:
            return TaskOrder(tuple(range(len(tasks))), given, given, exact)
    (last,) = states.values()
    return TaskOrder(last.path, last.peak, given, exact)


def _successors(network: _Network, state: _State) -> list[_State]:
    found = []
    for i in state.ready:
        nxt = network.run(state, i)
        if nxt.live <= state.live and nxt.peak == state.peak:
            return [nxt]
        found.append(nxt)
    return found
