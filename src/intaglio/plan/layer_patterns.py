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
            that computes it, and `features.1.conv` the layer `/features/features.1/conv/Conv`, as the TorchScript
            exporter calls it.
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
        found = [str(node.name) for node in nodes if any(_selects(pattern, other) for other in _other_names(node))]
    if found:
        return list(found)
    near = difflib.get_close_matches(pattern.strip("*"), list(dict.fromkeys(_known(nodes))), n=5)
    hint = f"similar names: {', '.join(near)}" if near else f"layers with weights: {_few(weighted)}"
    raise TargetError(
        f"layer {pattern!r}: expected first, last or a pattern that names a layer, got none of that name; {hint}; "
        "`intaglio inspect MODEL` lists all values, whose names select layers too"
    )


def names_input(pattern: str, inputs: Sequence[str], nodes: Sequence[ir.Node]) -> bool:
    """Tell whether a pattern is the name of an input of the network, and selects no layer."""
    if pattern not in inputs or pattern in (FIRST, LAST):
        return False
    return not any(_selects(pattern, name) for node in nodes for name in (str(node.name), *_other_names(node)))


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


def _other_names(node: ir.Node) -> list[str]:
    """List the names of a layer's results, and the module in its own name."""
    names = [*(value.name for value in node.outputs), _scripted_module(str(node.name))]
    return [name for name in names if name]


def _scripted_module(name: str) -> str:
    """Find the path of a module in a name of the TorchScript exporter; empty if it is another name.

    Parts of a Sequential say their whole path: `/features/features.1/features.1.0/conv/Conv` is `features.1.0.conv`.
    """
    path: list[str] = []
    for part in name.split("/")[1:-1] if name.startswith("/") else []:
        path = [*(path[:-1] if path and part.startswith(f"{path[-1]}.") else path), part]
    return ".".join(path)


def _known(nodes: Sequence[ir.Node]) -> Iterator[str]:
    """List the names of layers, and of the modules around them."""
    for node in nodes:
        for name in (str(node.name), _scripted_module(str(node.name))):
            yield name
            for end in re.finditer(r"(?<=.)[./]", name):
                yield name[: end.start()]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
