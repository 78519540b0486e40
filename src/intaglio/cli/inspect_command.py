"""`intaglio inspect`: show a program's operators, costs and memory, or how a float model would be quantized."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from intaglio.cli.models import MODEL, add_model_options, load_any_or_quantized
from intaglio.errors import UsageError
from intaglio.report.terminal_text import command, next_steps
from intaglio.workflow.inspection import Inspection, inspect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--target",
        default="cpu-int8",
        help="for a float model: show how it would be quantized for this target (default: %(default)s)",
    )
    parser.add_argument(
        "--machine", default="host", help="for a program: plan its memory for this machine (default: %(default)s)"
    )
    parser.add_argument(
        "--arena", type=Path, metavar="FILE.svg", help="for a program: write a drawing of its memory over time"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with status 1 if an operator of a float model cannot run on integers",
    )
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Load the model, describe it, and print the result."""
    found = inspect(load_any_or_quantized(args, args.model), args.target, args.machine)
    if args.arena is not None and "arena" not in found.facts:
        raise UsageError(
            f"--arena: expected a program, whose memory is planned, got a {found.facts['kind']}: {args.model}"
        )
    if args.arena is not None:
        found.draw_memory(args.arena)
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        found.show(args.model)
        steps = _next(args, found)
        if steps:
            print(next_steps(steps))
    return int(args.strict and bool(found.blockers))


def _next(args: argparse.Namespace, found: Inspection) -> list[tuple[str, str]]:
    """Say what to do with the model; nothing where operators cannot run on integers."""
    kind = found.facts["kind"]
    if kind == "program":
        return [(command("intaglio", "compile", args.model, "-o", "c"), "C code, built and tested")]
    if kind == "graph" and not found.blockers:
        words = ("quantize", args.model, "--data", "CALIBRATION", "--target", args.target, "-o", "out")
        return [(command("intaglio", *words), "CALIBRATION: a few hundred inputs")]
    return []
