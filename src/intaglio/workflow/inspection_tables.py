"""Tables of what `intaglio inspect` finds about a program or a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from intaglio.codegen.picture import summary, text_picture
from intaglio.program.structure import FILE_TARGET
from intaglio.report.terminal_tables import print_table
from intaglio.report.terminal_text import folded, line_width


def show_program(name: str, facts: dict[str, Any], file: TextIO | None) -> None:
    """Print what a program is, its operators, and their cost and memory."""
    target = "the scales of a quantized file" if facts["target"] == FILE_TARGET else facts["target"]
    text = (
        f"integer-only program for {target}, rounding rule {facts['rule']}, "
        f"{facts['parameter_bytes']:,} parameter bytes, {facts['macs']:,} MAC"
    )
    print(folded(text, f"{name}: ", "  "), file=file)
    columns = {
        "node": [o["name"] for o in facts["operators"]],
        "operator": [o["operator"] for o in facts["operators"]],
        "output": ["x".join(map(str, o["output"])) for o in facts["operators"]],
        "type": [o["type"] for o in facts["operators"]],
        "weights": [o["weights"] for o in facts["operators"]],
        "MAC": [f"{o['macs']:,}" for o in facts["operators"]],
        "sum bits": [str(o["accumulator_bits"] or "") for o in facts["operators"]],
        "held in": [f"int{o['accumulator']}" if o["accumulator"] else "" for o in facts["operators"]],
        "z_w input sums": [f"{o['input_sums']:,}" if o["input_sums"] else "" for o in facts["operators"]],
        "in the bias": [o["offline_terms"] for o in facts["operators"]],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    print_table("operators", list(shown), list(zip(*shown.values(), strict=True)), file=file)
    for text in _terms(shown):
        print(folded(text, "", "  "), file=file)
    for sentence in facts["energy"]["explanation"]:
        print(folded(sentence), file=file)
    print(folded(summary(facts["arena"])), file=file)
    print(text_picture(facts["arena"], width=line_width()), file=file)


def _terms(shown: Mapping[str, object]) -> Iterator[str]:
    """Explain the columns that are shown."""
    yield "MAC: multiply-accumulates of one run."
    if "sum bits" in shown:
        yield "sum bits: bits that no sum exceeds for any input, proved from the weights; held in: type of the sums."
    if "z_w input sums" in shown:
        yield "z_w input sums: additions because weights have zero points."
    if "in the bias" in shown:
        yield "in the bias: terms of zero points that cost nothing at run time."


def show_network(name: str, facts: dict[str, Any], file: TextIO | None) -> None:
    """Print which operators of a network become integers, and the format of each value."""
    count = sum(facts["operators"].values())
    if facts["blockers"]:
        print(f"{name}: {len(facts['blockers'])} of {count} operators cannot be integers:", file=file)
        for blocker in facts["blockers"]:
            print(f"  {blocker}", file=file)
    else:
        theirs = facts["kind"] == "quantized network"
        way = "with the scales of the file" if theirs else f"on {facts['target']}"
        print(f"{name}: all {count} operators become integers {way}", file=file)
    print_table("operators", ("operator", "count"), sorted(facts["operators"].items()), file=file)
    print_table(
        "values",
        ("value", "role", "source", "format", "why"),
        [(v["name"], v["role"], v["source"], v["format"], v["why"]) for v in facts["values"]],
        file=file,
    )
