"""Time engines in alternating turns, so that disturbances affect all of them equally.

Threads of an engine may spin after a run while they wait for the next one, and would disturb the next engine. So a turn
begins only when this process uses no more processor time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from intaglio.bench.engine import Engine

ROUNDS = 7
TURN_SECONDS = 0.15
WARM_SECONDS = 0.02
MIN_RUNS, MAX_RUNS = 5, 2000
LOOK_SECONDS, CALM_LOOKS = 0.005, 2


@dataclass(frozen=True)
class Timing:
    """Latencies of one engine.

    Args:
        engine: the engine.
        rounds: nanoseconds of every run, by round.
    """

    engine: Engine
    rounds: tuple[tuple[int, ...], ...]

    @property
    def medians(self) -> list[float]:
        """Median of each round, in nanoseconds."""
        return [median(runs) for runs in self.rounds]

    @property
    def median(self) -> float:
        """Median of the rounds' medians, in nanoseconds; robust against disturbed rounds."""
        return median(self.medians)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of all runs, in nanoseconds."""
        low, _, high = quantiles([time for runs in self.rounds for time in runs], n=4)
        return low, high


@dataclass(frozen=True)
class Ratio:
    """Latency of another engine divided by ours: median and quartiles over rounds."""

    value: float
    low: float
    high: float


def measure(engines: Sequence[Engine], rounds: int = ROUNDS, seconds: float = TURN_SECONDS) -> list[Timing]:
    """Time every engine in every round, in a rotating order.

    Args:
        engines: the engines.
        rounds: number of rounds.
        seconds: duration of a turn; at least 5 runs are made.
    """
    runs: list[list[tuple[int, ...]]] = [[] for _ in engines]
    order = list(range(len(engines)))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for i in order:
                settle()
                runs[i].append(_turn(engines[i], seconds))
            order = order[1:] + order[:1]
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    return [Timing(engine, tuple(times)) for engine, times in zip(engines, runs, strict=True)]


def ratio(other: Timing, ours: Timing) -> Ratio:
    """Compute the ratio round by round, because both were measured at about the same time."""
    values = [b / a for a, b in zip(ours.medians, other.medians, strict=True)]
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return Ratio(median(values), low, high)


def settle(limit: float = 0.5) -> None:
    """Wait until this process uses almost no processor time, so that no thread is spinning.

    Args:
        limit: longest wait in seconds.
    """
    until = time.perf_counter() + limit
    calm = 0
    while calm < CALM_LOOKS and time.perf_counter() < until:
        before = time.process_time()
        time.sleep(LOOK_SECONDS)
        calm = calm + 1 if time.process_time() - before < LOOK_SECONDS / 10 else 0


def _turn(engine: Engine, seconds: float) -> tuple[int, ...]:
    if engine.enter:
        engine.enter()
    clock, run = time.perf_counter_ns, engine.run
    until = clock() + int(WARM_SECONDS * 1e9)
    run()
    while clock() < until:
        run()
    times: list[int] = []
    until = clock() + int(seconds * 1e9)
    while len(times) < MIN_RUNS or (len(times) < MAX_RUNS and clock() < until):
        begin = clock()
        run()
        times.append(clock() - begin)
    return tuple(times)
