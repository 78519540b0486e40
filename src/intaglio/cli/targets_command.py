"""`intaglio targets`: list the hardware targets."""

from __future__ import annotations

import argparse
import json
from typing import Any

from intaglio.report.terminal_tables import print_table
from intaglio.targets import BUILTIN, Target, TensorFormat, load_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("target", nargs="?", help="show only this target: built-in name or TOML file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """List all targets, or show one in detail."""
    targets = [load_target(name) for name in ([args.target] if args.target else BUILTIN)]
    if args.json:
        print(json.dumps([_describe(t) for t in targets]))
        return 0
    keys = ("name", "activations", "products", "weights", "rule", "accumulator")
    rows = [tuple(d[key] for key in keys) for d in map(_describe, targets)]
    print_table("targets", ("name", "activations", "data of products", *keys[3:]), rows)
    for target in targets:
        print(f"{target.name}: {target.description}")
        if args.target:
            for op_type, row in target.operators.items():
                facts = {k: v for k in row.model_fields_set if (v := getattr(row, k)) is not None}
                print(f"  {op_type}: {', '.join(f'{k} = {_fact(v)}' for k, v in sorted(facts.items()))}")
    return 0


def _describe(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "description": target.description,
        "activations": "; ".join(map(_format, target.activations)),
        "products": "" if target.products is None else _format(target.products),
        "weights": "; ".join(map(_format, target.weights)),
        "rule": target.rule.value,
        "accumulator": target.accumulator,
    }


def _fact(value: Any) -> str:
    return "; ".join(map(_format, value)) if isinstance(value, tuple) else str(value)


def _format(fmt: TensorFormat) -> str:
    return f"{fmt.type} {fmt.scheme.value} per {fmt.per}"
