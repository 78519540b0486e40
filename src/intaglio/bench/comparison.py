"""Time one network in all available engines, with several numbers of threads."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from intaglio.bench.engine import OURS, Array, Engine, Unavailable, ours
from intaglio.bench.peers import PEERS, PeerModels
from intaglio.bench.rounds import ROUNDS, TURN_SECONDS, Ratio, Timing, measure, ratio
from intaglio.codegen.native import NativeProgram
from intaglio.errors import UsageError

PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert", "torch": "torch"}
QUOTED = ("onnxruntime", "openvino")
"""Engines that ratios are quoted against: those that run the same network from the same file."""


@dataclass(frozen=True)
class ComparisonRow:
    """Row of the table.

    Args:
        threads: number of threads.
        timing: latencies.
        ratio: its latency divided by ours with the same kind of inputs and outputs; None for ours.
    """

    threads: int
    timing: Timing
    ratio: Ratio | None

    @property
    def name(self) -> str:
        """Engine, precision, and kind of inputs and outputs."""
        return f"{self.timing.engine.title}, {self.timing.engine.ends}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data, as in `bench --json`; times in nanoseconds."""
        engine, (low, high) = self.timing.engine, self.timing.quartiles
        return {
            "engine": engine.name,
            "precision": engine.precision,
            "ends": engine.ends,
            "threads": self.threads,
            "median_ns": self.timing.median,
            "quartiles_ns": [low, high],
            "runs": sum(map(len, self.timing.rounds)),
            "ratio": None if self.ratio is None else [self.ratio.value, self.ratio.low, self.ratio.high],
        }


@dataclass(frozen=True)
class Comparison:
    """All rows, and the engines that could not be timed.

    Args:
        rows: rows by number of threads, ours first.
        absent: engine -> reason.
    """

    rows: tuple[ComparisonRow, ...]
    absent: Mapping[str, str]

    def quoted(self, threads: int, peers: Sequence[str] = QUOTED) -> tuple[ComparisonRow, Ratio] | None:
        """Return the ratio to quote: latency of the fastest int8 peer divided by ours with integer inputs and outputs.

        Args:
            threads: number of threads of both.
            peers: names of the peers.
        Returns:
            The peer's row and the ratio; None if no peer was timed.
        """
        rows = [row for row in self.rows if row.threads == threads and row.timing.engine.precision == "int8"]
        own = next(r for r in rows if r.timing.engine.name == OURS and r.timing.engine.ends == "integers")
        others = [r for r in rows if r.timing.engine.name in peers]
        best = min(others, key=lambda row: row.timing.median, default=None)
        return None if best is None else (best, ratio(best.timing, own.timing))

    def to_json(self) -> dict[str, Any]:
        """Return plain data, as in `bench --json`."""
        quoted = []
        for threads in dict.fromkeys(row.threads for row in self.rows):
            found = self.quoted(threads)
            if found is not None:
                best, value = found
                quoted.append({"threads": threads, "peer": best.name, "ratio": [value.value, value.low, value.high]})
        return {"rows": [row.to_json() for row in self.rows], "quoted": quoted, "absent": dict(self.absent)}


def check_peers(peers: Sequence[str]) -> None:
    """Refuse unknown engines.

    Raises:
        UsageError: there is no such engine.
    """
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        raise UsageError(f"peers: expected some of {', '.join(PEERS)}, got {', '.join(unknown)}")


def compare_engines(
    natives: Mapping[int, NativeProgram],
    peers: Sequence[str],
    models: PeerModels,
    x: Sequence[Array],
    *,
    rounds: int = ROUNDS,
    seconds: float = TURN_SECONDS,
) -> Comparison:
    """Time our program and the peers.

    Args:
        natives: our compiled program by number of threads.
        peers: names of `PEERS`.
        models: the network in the peers' formats.
        x: real inputs with batch size 1.
        rounds, seconds: see `rounds.measure`.
    Raises:
        UsageError: unknown peer.
    """
    check_peers(peers)
    rows: list[ComparisonRow] = []
    absent = dict(models.troubles)
    for threads, native in natives.items():
        engines = ours(native, x)
        for name in peers:
            engines += _engines(name, models, x, threads, absent)
        timings = measure(engines, rounds, seconds)
        own = {t.engine.ends: t for t in timings if t.engine.name == OURS}
        rows += [
            ComparisonRow(threads, t, None if t.engine.name == OURS else ratio(t, own[t.engine.ends])) for t in timings
        ]
    return Comparison(tuple(rows), absent)


def _engines(name: str, models: PeerModels, x: Sequence[Array], threads: int, absent: dict[str, str]) -> list[Engine]:
    try:
        return PEERS[name](models, x, threads)
    except Unavailable as reason:
        absent[name] = str(reason)
    except Exception as error:  # a foreign engine may fail in any way; still measure the others
        absent[name] = f"failed: {type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
    return []


def machine_facts(native: NativeProgram) -> dict[str, Any]:
    """Collect facts to quote with a measurement: processor, machine, versions."""
    versions = {}
    for name, package in PACKAGES.items():
        try:
            versions[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "machine": native.machine.name,
        "versions": versions,
    }


def processor() -> str:
    """Return the processor's name, as the system reports it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
