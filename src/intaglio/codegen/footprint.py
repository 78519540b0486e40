"""Measure a compiled model's bytes of code and constants, and bound its stack, from gcc's output."""

from __future__ import annotations

import re
import struct
from pathlib import Path

LIBRARY_STACK = 64  # bytes assumed for each library function (memcpy, memset, 64-bit helpers); all are leaves
_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "((?:[^"\\]|\\.)*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_SIZE = re.compile(r"(\d+) bytes \(([^)]*)\)")
_INDIRECT = "__indirect_call"
_STEP = re.compile(r"(.*:)?step_\d+")


def stack_bound(callgraph: Path, prefix: str = "model") -> int | None:
    """Compute an upper bound on the stack of `<prefix>_run` from the output of `-fcallgraph-info=su`.

    An indirect call from the loop over steps counts as a call of the step with the largest stack; one inside a step as
    a call of the largest function that is not called by name.

    Args:
        callgraph: the `.ci` file.
        prefix: prefix of the model.
    Returns:
        Bytes; None if a frame has no fixed size, there is recursion, or a called function is missing in the graph (gcc
        merges equal functions unless given -fno-ipa-icf).
    """
    text = callgraph.read_text()
    frames: dict[str, int] = {}
    for title, label in _NODE.findall(text):
        size = _SIZE.search(label)
        if size and size[2] not in ("static", "dynamic,bounded"):
            return None
        frames[title] = int(size[1]) if size else LIBRARY_STACK
    calls: dict[str, set[str]] = {title: set() for title in frames}
    steps = {title for title in frames if _STEP.fullmatch(title)}
    public = {f"{prefix}_run", f"{prefix}_run_on", "run"}
    edges = _EDGE.findall(text)
    if any(":" in target and target not in frames for _, target in edges):
        return None
    unnamed = frames.keys() - {target for _, target in edges} - steps - public - {_INDIRECT}
    for source, target in edges:
        indirect = steps if source.rpartition(":")[2] in public else unnamed
        calls.setdefault(source, set()).update(indirect if target == _INDIRECT else {target})
    return _deepest(f"{prefix}_run", frames, calls, ())


def _deepest(name: str, frames: dict[str, int], calls: dict[str, set[str]], path: tuple[str, ...]) -> int | None:
    if name in path:
        return None
    below = [_deepest(target, frames, calls, (*path, name)) for target in sorted(calls.get(name, ()))]
    known = [depth for depth in below if depth is not None]
    if len(known) < len(below):
        return None
    return frames.get(name, LIBRARY_STACK) + max(known, default=0)


def loaded_bytes(object_file: Path) -> int | None:
    """Return the bytes that an object file adds to flash (loaded sections that are not all zero); None if not ELF."""
    data = object_file.read_bytes()
    if data[:4] != b"\x7fELF":
        return None
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    at, entry, count = (
        (struct.unpack_from(f"{order}Q", data, 40)[0], *struct.unpack_from(f"{order}HH", data, 58))
        if wide
        else (struct.unpack_from(f"{order}I", data, 32)[0], *struct.unpack_from(f"{order}HH", data, 46))
    )
    total = 0
    for i in range(count):
        header = struct.unpack_from(f"{order}{'IIQQQQ' if wide else 'IIIIII'}", data, at + i * entry)
        _, kind, flags, _, _, size = header
        if flags & 2 and kind == 1:  # SHF_ALLOC and SHT_PROGBITS
            total += size
    return total
