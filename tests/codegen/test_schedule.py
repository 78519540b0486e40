"""The order of steps: always one that works, never a worse one, and the best one where it says so."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intaglio.codegen.schedule import Task, find_order


def random_tasks(seed, most):
    """Tasks over values v0, v1, ..., their sizes, what is there at first and what stays."""
    rng = np.random.default_rng(seed)
    values, tasks, sizes = ["in"], [], {"in": int(rng.integers(0, 50))}
    for i in range(int(rng.integers(1, most + 1))):
        reads = tuple(dict.fromkeys(values[int(rng.integers(len(values)))] for _ in range(int(rng.integers(1, 4)))))
        sizes[f"v{i}"] = int(rng.integers(0, 100))
        common = {v: min(sizes[v], sizes[f"v{i}"]) for v in reads if rng.random() < 0.3}
        tasks.append(Task(reads, f"v{i}", int(rng.choice([0, 0, 40])), common))
        values.append(f"v{i}")
    read = {v for task in tasks for v in task.reads}
    return tasks, sizes, ["in"], [v for v in values if v not in read or rng.random() < 0.1]


def peak_of(order, tasks, sizes, start, keep):
    """Bytes live in the fullest step, by counting; None where a step runs before what it reads."""
    live, peak, waiting = set(start), 0, list(order)
    made = set(start)
    while waiting:
        task = tasks[waiting.pop(0)]
        if not set(task.reads) <= made:
            return None
        later = {v for i in waiting for v in tasks[i].reads} | set(keep)
        dying = [v for v in task.reads if v not in later]
        common = min(sizes[task.writes], sum(task.common.get(v, 0) for v in dying))
        peak = max(peak, sum(sizes[v] for v in live) + sizes[task.writes] + task.scratch - common)
        made.add(task.writes)
        live = {v for v in live | {task.writes} if v in later}
    return peak


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_schedule_needs_the_least_memory_of_all_orders(seed):
    tasks, sizes, start, keep = random_tasks(seed, 6)
    found = find_order(tasks, sizes, start, keep)
    peaks = [peak_of(order, tasks, sizes, start, keep) for order in permutations(range(len(tasks)))]
    assert found.exact
    assert found.peak == min(peak for peak in peaks if peak is not None)
    assert found.peak == peak_of(found.order, tasks, sizes, start, keep)
    assert found.given == peaks[0]
    assert found == find_order(tasks, sizes, start, keep)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 100]))
def test_a_narrow_search_is_never_worse_than_the_given_order(seed, width):
    tasks, sizes, start, keep = random_tasks(seed, 30)
    found = find_order(tasks, sizes, start, keep, width)
    assert sorted(found.order) == list(range(len(tasks)))
    assert found.peak == peak_of(found.order, tasks, sizes, start, keep) <= found.given
    assert found.given == peak_of(range(len(tasks)), tasks, sizes, start, keep)


def test_branches_whose_results_are_small_run_one_after_the_other():
    """Two branches that widen and narrow: side by side they need two wide values at once."""
    tasks = [
        Task(("in",), "a1"), Task(("in",), "b1"), Task(("a1",), "a2"), Task(("b1",), "b2"), Task(("a2", "b2"), "y"),
    ]  # fmt: skip
    sizes = {"in": 10, "a1": 100, "b1": 100, "a2": 1, "b2": 1, "y": 1}
    found = find_order(tasks, sizes, ["in"], ["y"])
    assert (found.given, found.peak) == (210, 111)
    assert found.order in ((0, 2, 1, 3, 4), (1, 3, 0, 2, 4))


def test_a_step_that_frees_memory_is_not_run_first_if_it_raises_the_peak():
    """The first step shrinks what is live, but needs much while it runs: the other goes first."""
    tasks = [Task(("a",), "a1", scratch=200), Task(("b",), "b1"), Task(("a1", "b1"), "y")]
    found = find_order(tasks, {"a": 100, "b": 100, "a1": 90, "b1": 1, "y": 1}, ["a", "b"], ["y"])
    assert (found.given, found.peak, found.order) == (490, 391, (1, 0, 2))


def test_an_order_that_gains_nothing_is_left_alone():
    tasks = [Task(("in",), "a"), Task(("in",), "b"), Task(("a", "b"), "y")]
    found = find_order(tasks, {"in": 5, "a": 5, "b": 5, "y": 5}, ["in"], ["y"])
    assert found.order == (0, 1, 2)
    assert found.exact


def test_a_hundred_independent_branches_are_searched_within_bounds():
    tasks = [Task(("in",), f"a{i}") for i in range(100)] + [Task((f"a{i}",), f"b{i}") for i in range(100)]
    tasks.append(Task(tuple(f"b{i}" for i in range(100)), "y"))
    sizes = {"in": 1, "y": 1, **{f"a{i}": 100 for i in range(100)}, **{f"b{i}": 1 for i in range(100)}}
    found = find_order(tasks, sizes, ["in"], ["y"], width=20)
    assert found.given == 10001  # the last branch begins as the input dies
    assert found.peak <= 201
