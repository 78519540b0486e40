"""`intaglio bench`: compare a program's latency with other engines, and profile its steps."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from intaglio.bench import rounds
from intaglio.bench.bench_inputs import random_reals
from intaglio.bench.comparison import compare_engines, machine_facts
from intaglio.bench.peak import measure_peak
from intaglio.bench.peers import PEERS
from intaglio.bench.preparation import peer_models
from intaglio.bench.result_table import print_comparison, print_steps
from intaglio.codegen.native import compile
from intaglio.errors import UsageError
from intaglio.program import load_program


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("program", help="a .intaglio file")
    parser.add_argument(
        "--threads",
        default="1",
        metavar="1,2",
        help="thread counts to time, separated by commas (default: %(default)s)",
    )
    parser.add_argument(
        "--peers",
        default=",".join(PEERS),
        metavar="NAMES",
        help="engines to compare with, separated by commas (default: %(default)s)",
    )
    parser.add_argument("--float", metavar="MODEL.onnx", help="float network that the other engines quantize and run")
    parser.add_argument("--litert", metavar="MODEL.tflite", help="the same network as a LiteRT file")
    parser.add_argument("--machine", default="host", help="machine to compile the program for (default: %(default)s)")
    parser.add_argument("--cc", metavar="COMMAND", help="C compiler (default: $CC, gcc, clang, or the package ziglang)")
    parser.add_argument(
        "--rounds", type=int, default=rounds.ROUNDS, help="timed rounds per engine (default: %(default)s)"
    )
    parser.add_argument(
        "--profile", action="store_true", help="show each step's time and its share of the machine's peak throughput"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object; times in nanoseconds")
    parser.add_argument(
        "-o", "--output", default="build", metavar="DIR", help="folder for compiled builds (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Compile the program, time it and the other engines, and print the result."""
    counts = _counts(args.threads)
    if args.rounds < 1:
        raise UsageError(f"--rounds: expected at least 1, got {args.rounds}")
    peers = [name for name in args.peers.split(",") if name]
    program = load_program(args.program)
    natives = {n: compile(program, args.machine, args.output, threads=n, cc=args.cc) for n in counts}
    x = random_reals(program)
    with tempfile.TemporaryDirectory() as folder:
        models = peer_models(program, _path(args.float), _path(args.litert), peers, Path(folder))
        comparison = compare_engines(natives, peers, models, x, rounds=args.rounds, seconds=rounds.TURN_SECONDS)
    codes = program.quantize_inputs(*x)
    profiles = []
    for n in counts if args.profile else ():
        peak = measure_peak(natives[n].machine, n, args.cc)
        profiles.append((n, peak, natives[n].profile(*codes, peak=peak)))
    facts = machine_facts(natives[counts[0]])
    if args.json:
        shown = [{"threads": n, "peak": peak, "steps": [s.to_json() for s in steps]} for n, peak, steps in profiles]
        print(json.dumps({**facts, **comparison.to_json(), "profiles": shown}))
        return 0
    print_comparison(f"{args.program} on {facts['processor']}, machine {facts['machine']}", comparison)
    for n, peak, steps in profiles:
        print_steps(f"{n} thread{'s' * (n > 1)}", peak, steps)
    return 0


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise UsageError(f"--threads: expected numbers such as 1,2, got {text!r}")
    return list(dict.fromkeys(counts))
