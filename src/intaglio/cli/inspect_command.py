"""`intaglio inspect`: show a program's operators, costs and memory, or how a float model would be quantized."""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.cli.models import MODEL, add_model_options, load_any
from intaglio.codegen.build import plan
from intaglio.codegen.machine import machine as find_machine
from intaglio.codegen.picture import describe_arena, summary, text_picture
from intaglio.codegen.svg import svg_picture
from intaglio.errors import ExportError
from intaglio.files import whole_file
from intaglio.program import Program
from intaglio.report.costs import operator_costs
from intaglio.report.terminal_tables import print_table

if TYPE_CHECKING:
    from intaglio.graph import Graph


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
    model = load_any(args, args.model)
    if isinstance(model, Program):
        facts = describe_program(model)
        facts["arena"] = describe_arena(plan(model, find_machine(args.machine)))
        if args.arena is not None:
            _write(args.arena, svg_picture(facts["arena"], Path(args.model).stem))
    else:
        facts = describe_graph(model, args.target)
    if args.json:
        print(json.dumps(facts))
    elif isinstance(model, Program):
        _show_program(args.model, facts)
    else:
        _show_graph(args.model, facts)
    return int(args.strict and bool(facts.get("blockers")))


def _write(path: Path, text: str) -> None:
    try:
        with whole_file(path) as written:
            written.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from error


def describe_program(program: Program) -> dict[str, Any]:
    """Describe a program's operators and their cost: multiply-accumulates, and additions caused by zero points."""
    operators = [cost.to_json() for cost in operator_costs(program)]
    return {
        "kind": "program",
        "target": program.target,
        "rule": program.rule.value,
        "batched": program.batched,
        "inputs": {name: list(program.tensors[name].shape) for name in program.inputs},
        "outputs": {name: list(program.tensors[name].shape) for name in program.outputs},
        "parameter_bytes": program.nbytes,
        "macs": sum(o["macs"] for o in operators),
        "operators": operators,
    }


def describe_graph(graph: Graph, target: str) -> dict[str, Any]:
    """Describe a graph's operators, which of them the target supports, and each value's planned format and reason."""
    from intaglio.errors import UnsupportedOperatorError
    from intaglio.ops import contract_of
    from intaglio.plan import place, separate_operands
    from intaglio.targets import load_target

    blockers = []
    for node in graph.nodes:
        try:
            contract_of(node)
        except UnsupportedOperatorError as error:
            blockers.append(str(error))
    described = load_target(target)
    plan = None if blockers else place(separate_operands(graph, described), described)
    return {
        "kind": "graph",
        "target": target,
        "batched": graph.batched,
        "operators": dict(Counter(node.op_type for node in graph.nodes)),
        "blockers": blockers,
        "history": graph.history,
        "values": []
        if plan is None
        else [
            {
                "name": v.name,
                "role": v.role.value,
                "source": v.source.value,
                "format": str(v.format or ""),
                "why": v.why,
            }
            for v in plan.values.values()
        ],
    }


def _show_program(name: str, facts: dict[str, Any]) -> None:
    print(
        f"{name}: integer-only program for {facts['target']}, rounding {facts['rule']}, "
        f"{facts['parameter_bytes']:,} parameter bytes, {facts['macs']:,} MAC"
    )
    rows = [
        (
            o["name"],
            o["operator"],
            "x".join(map(str, o["output"])),
            o["type"],
            o["weights"],
            f"{o['macs']:,}",
            f"{o['input_sums']:,}",
            o["offline_terms"],
        )
        for o in facts["operators"]
    ]
    print_table(
        "operators", ("node", "operator", "output", "type", "weights", "MAC", "z_w input sums", "in the bias"), rows
    )
    print(summary(facts["arena"]))
    print(text_picture(facts["arena"], width=min(shutil.get_terminal_size().columns, 120)))


def _show_graph(name: str, facts: dict[str, Any]) -> None:
    count = sum(facts["operators"].values())
    if facts["blockers"]:
        print(f"{name}: {len(facts['blockers'])} of {count} operators cannot be integers:")
        for blocker in facts["blockers"]:
            print(f"  {blocker}")
    else:
        print(f"{name}: all {count} operators become integers on {facts['target']}")
    print_table("operators", ("operator", "count"), sorted(facts["operators"].items()))
    print_table(
        "values",
        ("value", "role", "source", "format", "why"),
        [(v["name"], v["role"], v["source"], v["format"], v["why"]) for v in facts["values"]],
    )
