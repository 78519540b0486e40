"""Describe the arena over time, as numbers and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from intaglio.codegen.model import Model
from intaglio.kernels.kernel import Struct, StructArray

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NAMED = 8  # largest tensors, which get a letter and a line in the legend


def describe_arena(model: Model) -> dict[str, Any]:
    """Return the memory plan as plain data, as in `inspect --json` under `arena`; sizes in bytes."""
    arena, steps = model.arena, model.steps
    fullest = arena.live.index(arena.lower_bound) if arena.live else 0
    return {
        "machine": model.machine.name,
        "bytes": arena.nbytes,
        "lower_bound": arena.lower_bound,
        "lower_bound_of_given_order": model.schedule.given,
        "order_changed": model.schedule.order != tuple(range(len(steps))),
        "order_is_best": model.schedule.exact,
        "fullest_step": fullest,
        "constant_bytes": constant_bytes(model),
        "inside": [name for name in (*model.program.inputs, *model.program.outputs) if name in arena.bases],
        "views": sorted(model.layout.views),
        "steps": [
            {"name": step.name, "operator": step.kind, "live": live, "last_row_first": i in arena.backward}
            for i, (step, live) in enumerate(zip(steps, arena.live, strict=False))
        ],
        "buffers": [
            {"name": b.name, "bytes": b.nbytes, "offset": arena.offsets[b.name], "first": b.first, "last": b.last}
            for b in arena.buffers
        ],
    }


def constant_bytes(model: Model) -> int:
    """Return the bytes of the generated code's constant arrays, each counted once."""
    read = {model.layout.regions[name].root for step in model.steps for name in step.inputs}
    arrays = [values for name, values in model.program.constants.items() if name in read]
    arrays += [array for step in model.steps for array in _arrays(step.call.fields)]
    return sum(len(data) for _, data in {(a.dtype.str, a.tobytes()) for a in arrays})


def _arrays(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Struct):
        yield from _arrays(value.fields)
    elif isinstance(value, StructArray):
        yield from _arrays(value.rows)
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _arrays(member)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for member in value:
            yield from _arrays(member)


def summary(facts: Mapping[str, Any]) -> str:
    """Summarize the plan in two lines."""
    bound, nbytes = facts["lower_bound"], facts["bytes"]
    over = "as low as this order of steps allows" if nbytes == bound else f"lower bound {bound:,}"
    order = "no order of steps needs less" if facts["order_is_best"] else "the best order found"
    if facts["order_changed"]:
        order += f", the given one {facts['lower_bound_of_given_order']:,}"
    inside = "inputs and outputs inside" if facts["inside"] else "inputs and outputs are the caller's"
    return (
        f"arena on {facts['machine']}: {nbytes:,} bytes, {over}; {order}; {inside}; "
        f"constants {facts['constant_bytes']:,} bytes"
    )


def text_picture(facts: Mapping[str, Any], width: int = 100, height: int = 16) -> str:
    """Draw the arena with characters: steps from left to right, addresses from bottom to top.

    Args:
        facts: data from `describe_arena`.
        width: characters per line; if there are more steps, several share a column, which shows the fullest one.
        height: lines of addresses.
    """
    nbytes, live = facts["bytes"], [step["live"] for step in facts["steps"]]
    if not nbytes or not live:
        return "  nothing lies in the arena"
    margin = len(f"{nbytes:,}") + 3
    columns = _columns(live, max(8, width - margin))
    stretch = max(1, min(4, (width - margin) // len(columns)))
    marks = _marks(facts["buffers"])
    lines = []
    for row in reversed(range(height)):
        low, high = nbytes * row // height, nbytes * (row + 1) // height
        cells = "".join(_cell(facts["buffers"], marks, step, low, max(high, low + 1)) * stretch for step in columns)
        label = f"{high:,}" if row == height - 1 or not (row + 1) % 4 else ""
        lines.append(f"{label:>{margin - 2}} |{cells}")
    across = stretch * len(columns)
    lines.append(" " * (margin - 2) + " +" + "-" * across)
    ends = f"step 0{f'step {len(live) - 1}':>{across - 6}}" if across > 16 else "steps"
    lines.append(" " * margin + ends)
    for buffer, mark in zip(_largest(facts["buffers"]), LETTERS, strict=False):
        first, last = buffer["first"], buffer["last"]
        span = f"step {first}" if first == last else f"steps {first} to {last}"
        lines.append(f"{mark:>{margin}} {buffer['bytes']:>{margin},} bytes, {span}, {buffer_name(facts, buffer)}")
    lines.append(" " * (margin - 1) + "other tensors a-z, working memory #, shared +, free .")
    return "\n".join(lines)


def _columns(live: Sequence[int], most: int) -> list[int]:
    """Choose the step of each column: the fullest of those that share it."""
    count = min(most, len(live))
    edges = [len(live) * i // count for i in range(count + 1)]
    return [max(range(a, b), key=live.__getitem__) for a, b in pairwise(edges)]


def _largest(buffers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    tensors = [b for b in buffers if not is_scratch(b)]
    return sorted(tensors, key=lambda b: (-b["bytes"], b["first"]))[:NAMED]


def _marks(buffers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    marks = {b["name"]: LETTERS[i] for i, b in enumerate(_largest(buffers))}
    others = [b for b in buffers if b["name"] not in marks]
    for i, b in enumerate(others):
        marks[b["name"]] = "#" if is_scratch(b) else LETTERS[i % 26].lower()
    return marks


def is_scratch(buffer: Mapping[str, Any]) -> bool:
    """Return whether a buffer of `describe_arena` is a step's working memory."""
    return str(buffer["name"]).startswith("scratch ")


def buffer_name(facts: Mapping[str, Any], buffer: Mapping[str, Any]) -> str:
    """Return a buffer's name for drawings."""
    if is_scratch(buffer):
        return f"working memory of {facts['steps'][buffer['first']]['name']}"
    return str(buffer["name"])


def _cell(buffers: Sequence[Mapping[str, Any]], marks: Mapping[str, str], step: int, low: int, high: int) -> str:
    """Return the mark of the buffer that fills most of an address range in a step."""
    inside: dict[str, int] = {}
    for b in buffers:
        if b["first"] <= step <= b["last"]:
            common = min(high, b["offset"] + b["bytes"]) - max(low, b["offset"])
            if common > 0:
                inside[b["name"]] = common
    if sum(inside.values()) * 2 < high - low:
        return "."
    best = max(inside, key=inside.__getitem__)
    return "+" if sum(inside.values()) >= 1.5 * (high - low) else marks[best]
