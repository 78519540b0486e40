from __future__ import annotations

import gc
import threading
import time

import pytest

from intaglio.bench.engine import Engine
from intaglio.bench.rounds import MIN_RUNS, Timing, measure, ratio, settle


def engine(name: str = "one", run=lambda: None, enter=None) -> Engine:
    return Engine(name, "int8", "float", run, enter)


def test_every_engine_has_its_turn_in_every_round_and_no_order_repeats() -> None:
    turns: list[str] = []
    engines = [engine(n, enter=lambda n=n: turns.append(n)) for n in "abc"]
    timings = measure(engines, rounds=3, seconds=0.001)
    assert turns == [*"abc", *"bca", *"cab"]
    assert [t.engine.name for t in timings] == [*"abc"]
    assert all(len(t.rounds) == 3 and min(map(len, t.rounds)) >= MIN_RUNS for t in timings)
    assert gc.isenabled()


def test_a_slow_engine_still_runs_often_enough() -> None:
    (timing,) = measure([engine(run=lambda: time.sleep(0.002))], rounds=2, seconds=0.0)
    assert [len(runs) for runs in timing.rounds] == [MIN_RUNS] * 2
    assert timing.median >= 2e6


def test_median_of_rounds_is_not_moved_by_a_disturbed_round() -> None:
    timing = Timing(engine(), ((10, 11, 12), (900, 950, 999, 980, 970), (9, 10, 13)))
    assert timing.median == 11
    assert timing.quartiles[0] < 20 < timing.quartiles[1]


def test_ratio_is_taken_round_by_round() -> None:
    ours, other = Timing(engine(), ((10,), (100,), (20,))), Timing(engine(), ((30,), (300,), (40,)))
    assert ratio(other, ours).value == 3
    assert ratio(other, ours).low == pytest.approx(2.0)
    assert ratio(Timing(engine(), ((30,),)), Timing(engine(), ((10,),))).high == 3


def test_settle_waits_for_a_thread_that_spins() -> None:
    stop = time.perf_counter() + 0.05

    def spin() -> None:
        while time.perf_counter() < stop:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    settle(limit=5.0)
    assert time.perf_counter() >= stop
    thread.join()


def test_settle_gives_up() -> None:
    running = True

    def spin() -> None:
        while running:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    begin = time.perf_counter()
    settle(limit=0.05)
    assert time.perf_counter() - begin < 5
    running = False
    thread.join()
