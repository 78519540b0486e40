"""`intaglio targets`: list the hardware targets."""

from __future__ import annotations

import argparse
import json
from typing import Any

from intaglio.report.terminal_tables import print_table
from intaglio.targets.target_list import HEADINGS, format_words, targets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("target", nargs="?", help="show only this target: built-in name or TOML file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """List all targets, or show one in detail."""
    found = targets(*([args.target] if args.target else ()))
    if args.json:
        print(json.dumps(found.to_json()))
        return 0
    print_table("targets", HEADINGS, found.rows())
    for target in found.values():
        print(f"{target.name}: {target.description}")
        if args.target:
            for op_type, row in target.operators.items():
                facts = {k: v for k in row.model_fields_set if (v := getattr(row, k)) is not None}
                print(f"  {op_type}: {', '.join(f'{k} = {_fact(v)}' for k, v in sorted(facts.items()))}")
    return 0


def _fact(value: Any) -> str:
    return "; ".join(map(format_words, value)) if isinstance(value, tuple) else str(value)
