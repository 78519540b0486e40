"""Find the layers that a user means by a name or a pattern."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import onnx_ir as ir

from intaglio.errors import TargetError

FIRST, LAST = "first", "last"
"""Patterns for the first and the last layer with weights."""


def layers_matching(pattern: str, nodes: Sequence[ir.Node], weighted: Sequence[str]) -> list[str]:
    """Find the layers that a pattern selects.

    Args:
        pattern: `first` or `last`; a pattern with wildcards for the whole name (`features.*.conv`); or the name of a
            layer or of a module, with everything inside it (`features.1` also means `features.1.conv`) and all its
            calls (`shared` also means `shared__2`). If no layer has such a name, the name of a value means the layer
            that computes it.
        nodes: the layers of the network.
        weighted: names of those with weights, in the network's order.
    Returns:
        Names of layers, at least one.
    Raises:
        TargetError: there is no such layer; the message lists similar names.
    """
    ends = {FIRST: weighted[:1], LAST: weighted[-1:]}
    names = [str(node.name) for node in nodes]
    found = ends[pattern] if pattern in ends else [name for name in names if _selects(pattern, name)]
    if not found:
        found = [str(n.name) for n in nodes if any(fnmatchcase(str(v.name), pattern) for v in n.outputs if v.name)]
    if found:
        return list(found)
    near = difflib.get_close_matches(pattern.strip("*"), list(dict.fromkeys(_known(nodes))), n=5)
    hint = f"similar names: {', '.join(near)}" if near else f"layers with weights: {_few(weighted)}"
    raise TargetError(
        f"layer {pattern!r}: expected first, last or a pattern that names a layer, got none of that name; {hint}; "
        "`intaglio inspect MODEL` lists all of them"
    )


def only_layer(name: str, names: Sequence[str]) -> str:
    """Write a pattern that selects one layer only."""
    escaped = "".join(f"[{c}]" if c in "*?[" else c for c in name)
    if escaped == name and (name in (FIRST, LAST) or any(_selects(name, other) for other in names if other != name)):
        return re.sub(r"(\w)", r"[\1]", name, count=1)  # with a wildcard it does not select what is inside
    return escaped


def _selects(pattern: str, name: str) -> bool:
    if re.search(r"[*?\[]", pattern):
        return fnmatchcase(name, pattern)
    rest = name.removeprefix(pattern)
    return name.startswith(pattern) and re.fullmatch(r"|[./].*|__\d+([./].*)?", rest, re.DOTALL) is not None


def _known(nodes: Sequence[ir.Node]) -> Iterator[str]:
    """List the names of layers, and of the modules around them."""
    for node in nodes:
        name = str(node.name)
        yield name
        for end in re.finditer(r"(?<=.)[./]", name):
            yield name[: end.start()]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
