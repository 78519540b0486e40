"""`intaglio bench`: compare a program's latency with other engines, and profile its steps."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from intaglio.bench import rounds
from intaglio.bench.latency import bench
from intaglio.bench.peers import PEERS
from intaglio.cli.models import PROGRAM
from intaglio.errors import UsageError
from intaglio.report.terminal_text import command, next_steps
from intaglio.workflow.open_model import open_program


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("program", help=PROGRAM)
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
    threads = _counts(args.threads)
    if args.rounds < 1:
        raise UsageError(f"--rounds: expected at least 1, got {args.rounds}")
    found = bench(
        open_program(args.program),
        threads=threads,
        peers=[name for name in args.peers.split(",") if name],
        float_model=args.float,
        litert=args.litert or (args.program if Path(args.program).suffix == ".tflite" else None),
        quantized=args.program if Path(args.program).suffix == ".onnx" else None,
        machine=args.machine,
        cc=args.cc,
        rounds=args.rounds,
        profile=args.profile,
        directory=args.output,
    )
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        found.show(args.program)
        peers = ("--float", args.float or "MODEL.onnx")
        steps = [] if args.float else [((args.program, *peers), "beside other engines, which need the float network")]
        if not args.profile:
            steps.append(((args.program, *(peers if args.float else ()), "--profile"), "the time of every step"))
        if steps:
            print(next_steps([(command("intaglio", "bench", *words), why) for words, why in steps]))
    return 0


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise UsageError(f"--threads: expected numbers such as 1,2, got {text!r}")
    return list(dict.fromkeys(counts))
