"""Time a program beside other engines: the job of `intaglio bench` and `intaglio.bench`."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from intaglio.bench import rounds as timing
from intaglio.bench.bench_inputs import random_reals
from intaglio.bench.comparison import Comparison, check_peers, compare_engines, machine_facts
from intaglio.bench.peak import measure_peak
from intaglio.bench.peers import PEERS
from intaglio.bench.preparation import check_models, peer_models
from intaglio.bench.result_table import print_comparison, print_steps
from intaglio.codegen.native import NativeProgram, compile
from intaglio.codegen.profile import StepTime
from intaglio.errors import UsageError, check_whole
from intaglio.program import Program, load_program
from intaglio.report.costs import operator_costs
from intaglio.report.energy import Energy, estimated_energy
from intaglio.report.terminal_text import folded
from intaglio.report.words import latency


@dataclass(frozen=True)
class Profile:
    """Times of a program's steps.

    Args:
        threads: number of threads.
        peak: the machine's peak in multiply-adds per second; None if unknown.
        steps: the steps in execution order.
    """

    threads: int
    peak: float | None
    steps: tuple[StepTime, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; times in nanoseconds."""
        return {"threads": self.threads, "peak": self.peak, "steps": [step.to_json() for step in self.steps]}


@dataclass(frozen=True, repr=False)
class Latencies:
    """Latencies of a program and of other engines, as `intaglio.bench` returns them.

    Attributes:
        comparison: rows by number of threads, ours first, and engines that were not timed.
        machine: processor, machine and versions of the other engines.
        profiles: times of each step, one profile for each number of threads; empty unless asked for.
        energy: estimated energy of one run.
    """

    comparison: Comparison
    machine: dict[str, Any]
    profiles: tuple[Profile, ...] = ()
    energy: Energy | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `intaglio bench --json` prints; times in nanoseconds."""
        profiles = [profile.to_json() for profile in self.profiles]
        energy = None if self.energy is None else self.energy.to_json()
        return {**self.machine, **self.comparison.to_json(), "profiles": profiles, "energy": energy}

    def show(self, name: str = "program", *, file: TextIO | None = None) -> None:
        """Print the tables."""
        title = f"{name} on {self.machine['processor']}, machine {self.machine['machine']}"
        print_comparison(title, self.comparison, file=file)
        for profile in self.profiles:
            threads = f"{profile.threads} thread{'s' * (profile.threads > 1)}"
            print_steps(threads, profile.peak, profile.steps, file=file)
        for sentence in () if self.energy is None else self.energy.sentences():
            print(folded(sentence), file=file)

    def summary(self) -> str:
        """Table of the engines, and of the steps where they were profiled."""
        text = io.StringIO()
        self.show(file=text)
        return text.getvalue().rstrip()

    def __repr__(self) -> str:
        own = next(row for row in self.comparison.rows if row.ratio is None)
        others = len(self.comparison.rows) - sum(row.ratio is None for row in self.comparison.rows)
        return f"Latencies({own.name}: {latency(own.timing.median)}, {others} timings of other engines)"


def bench(
    program: Program | NativeProgram | str | os.PathLike[str],
    *,
    threads: int | Sequence[int] = 1,
    peers: str | Sequence[str] = tuple(PEERS),
    float_model: str | os.PathLike[str] | None = None,
    litert: str | os.PathLike[str] | None = None,
    quantized: str | os.PathLike[str] | None = None,
    machine: str = "host",
    cc: str | None = None,
    rounds: int = timing.ROUNDS,
    profile: bool = False,
    directory: str | os.PathLike[str] = "build",
) -> Latencies:
    """Time a program beside other engines, which alternate in one process.

    Args:
        program: what `lower`, `load_program` or `compile` return, or a .intaglio file.
        threads: number of threads, or several of them.
        peers: engines to compare with; those that are not installed, or have no model, are listed with the reason.
        float_model: .onnx file of the float network, which the other engines quantize and run.
        litert: .tflite file of the same network.
        quantized: QDQ or QOperator file of the same network, which ONNX Runtime runs as it is.
        machine, cc: as for `intaglio.compile`; of a compiled program its own are used.
        rounds: timed rounds of each engine.
        profile: whether to time each step too.
        directory: folder of compiled builds.
    Raises:
        UsageError: no such engine, fewer than one thread or round, or a compiled program of other threads.
        CompileError: the program cannot be compiled.
    """
    counts = list(dict.fromkeys([threads] if isinstance(threads, int | str) else threads))
    for count in counts:
        check_whole("threads", count)
    check_whole("rounds", rounds)
    if not counts or min(counts) < 1:
        raise UsageError(f"threads: expected numbers such as 1,2, got {threads!r}")
    if rounds < 1:
        raise UsageError(f"rounds: expected at least 1, got {rounds}")
    peers = [name for name in peers.split(",") if name] if isinstance(peers, str) else peers
    check_peers(peers)
    real, theirs, file = _path(float_model), _path(litert), _path(quantized)
    check_models(real, theirs, file)
    if isinstance(program, NativeProgram):
        if counts != [program.threads]:
            raise UsageError(
                f"threads: expected those of the compiled program, {program.threads}, got {threads}; give the Program"
            )
        natives = {program.threads: program}
        program = program.program
    else:
        program = _program(program)
        natives = {n: compile(program, machine, directory, threads=n, cc=cc) for n in counts}
    x = random_reals(program)
    with tempfile.TemporaryDirectory() as folder:
        models = peer_models(program, real, theirs, peers, Path(folder), file)
        comparison = compare_engines(natives, peers, models, x, rounds=rounds, seconds=timing.TURN_SECONDS)
    codes = program.quantize_inputs(*x)
    profiles = []
    for n in counts if profile else ():
        peak = measure_peak(natives[n].machine, n, cc)
        profiles.append(Profile(n, peak, tuple(natives[n].profile(*codes, peak=peak))))
    energy = estimated_energy(operator_costs(program), natives[counts[0]].model.arena.nbytes)
    return Latencies(comparison, machine_facts(natives[counts[0]]), tuple(profiles), energy)


def _program(given: object) -> Program:
    """Return the Program that is to be timed.

    Raises:
        UsageError: something else is given.
    """
    if isinstance(given, Program):
        return given
    if isinstance(given, str | os.PathLike):
        return load_program(given)
    way = "its method lower()" if hasattr(given, "lower") else "intaglio.quantize(model, data).lower()"
    got = type(given).__name__
    raise UsageError(f"bench: expected a Program, a compiled one or a .intaglio file, got {got}; {way} makes a Program")


def _path(name: str | os.PathLike[str] | None) -> Path | None:
    return None if name is None else Path(name)
