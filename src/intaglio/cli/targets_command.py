"""`intaglio targets`: list the hardware targets."""

from __future__ import annotations

import argparse
import json
from typing import Any

from intaglio.report.terminal_tables import print_table
from intaglio.report.terminal_text import folded, line_width
from intaglio.targets import Target
from intaglio.targets.target_list import HEADINGS, Targets, format_words, targets

WIDTH = 80
TYPES = {"int8n": "-127 to 127", "int4n": "-7 to 7", "int2n": "-1 to 1", "bipolar": "-1 and 1"}
"""Types whose name does not say their range -> their codes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("target", nargs="?", help="show only this target: built-in name or TOML file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """List all targets, or show one in detail."""
    found = targets(*([args.target] if args.target else ()))
    if args.json:
        print(json.dumps(found.to_json()))
    elif args.target:
        for target in found.values():
            _show(target)
    else:
        _list(found)
    return 0


def _list(found: Targets) -> None:
    """Print the formats that each target prefers, then what it is for."""
    print_table("targets", HEADINGS, found.rows())
    used = {str(fmt.type) for target in found.values() for fmt in target.weights}
    legend = [f"{name}: {codes}" for name, codes in TYPES.items() if name in used]
    _say(f"products: data of products where they have fewer bits. {', '.join(legend)}.")
    for target in found.values():
        _say(target.description, f"{target.name:<17} ")
    _say("`intaglio targets NAME` shows all formats of one of them; --target takes its name.")


def _show(target: Target) -> None:
    print(folded(target.description, f"{target.name}: ", "  ", min(WIDTH, line_width())))
    rows = {
        "activations": "; ".join(map(format_words, target.activations)),
        "data of products": "" if target.products is None else format_words(target.products),
        "weights": "; ".join(map(format_words, target.weights)),
        "scores": "" if target.final is None else format_words(target.final),
        "other layers": ", ".join(f"{layer} {fmt}" for layer, fmt in target.layers.items()),
        "rounding rule": target.rule.value,
        "accumulator": f"{target.accumulator} bits",
    }
    for op_type, row in target.operators.items():
        facts = {k: v for k in row.model_fields_set if (v := getattr(row, k)) is not None}
        rows[op_type] = ", ".join(f"{k} = {_fact(v)}" for k, v in sorted(facts.items()))
    for label, text in rows.items():
        if text:
            _say(text, f"  {label:<17} ")


def _say(text: str, first: str = "") -> None:
    print(folded(text, first, width=min(WIDTH, line_width())))


def _fact(value: Any) -> str:
    return "; ".join(map(format_words, value)) if isinstance(value, tuple) else str(value)
