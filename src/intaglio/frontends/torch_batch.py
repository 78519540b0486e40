"""Find out whether a module computes with the size of its batch.

`torch.export` writes the size of a fixed batch into the program as a number: `x / x.shape[0]` becomes a division by 2,
and of `if x.shape[0] == 1` only one branch is left. So the program is exported for several sizes, which costs little
compared with the conversion to ONNX, and compared: apart from sizes in calls such as `view` and `expand`, all must be
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import fx

from intaglio.errors import ModelError

Export = Callable[[int], torch.export.ExportedProgram]
"""Size of the batch -> the module's program."""

# Index of the argument that is a size and nothing else. The numbers of `arange`, for instance, are values.
_SIZES = {
    **dict.fromkeys(["view", "_unsafe_view", "reshape", "expand", "repeat"], 1),
    **dict.fromkeys(["zeros", "ones", "empty", "full"], 0),
    **dict.fromkeys(["new_zeros", "new_ones", "new_empty", "new_full"], 1),
    "unflatten": 2,
}


def batch_dependence(export: Export, base: int, sizes: tuple[int, ...]) -> str | None:
    """Describe how a module computes something different with another number of samples; None where it does not.

    Args:
        export: exports the program for a batch size.
        base: the size to compare with, 2 or more.
        sizes: other sizes. For size 1 shapes are not compared: a squeeze of all axes of size 1 removes the batch too.
    Returns:
        A sentence that names the operation.
    """
    program = export(base)
    for size in sizes:
        try:
            other = export(size)
        except ModelError as error:
            return f"with {_samples(size)} it cannot be exported ({error})"
        growth = None if size == 1 else (base, size)
        found = _first_difference(program.graph_module, other.graph_module, growth)
        if found is None and not _same_constants(program.constants, other.constants):
            found = "a constant that the module makes"
        if found is not None:
            return f"{found} depends on the size of the batch (it differs with {_samples(base)} and {_samples(size)})"
    return None


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count} samples"


def _first_difference(one: fx.GraphModule, other: fx.GraphModule, growth: tuple[int, int] | None) -> str | None:
    order = [{node: index for index, node in enumerate(module.graph.nodes)} for module in (one, other)]
    for left, right in zip_longest(*order):
        if left is None or right is None or (left.op, str(left.target)) != (right.op, str(right.target)):
            return _named(left or right)
        if _arguments(left, order[0]) != _arguments(right, order[1]):
            return _named(left)
        if growth is not None and not _same_shapes(left.meta.get("val"), right.meta.get("val"), growth):
            return _named(left)
        inner = [getattr(module, str(left.target), None) for module in (one, other)] if left.op == "get_attr" else []
        bodies = [module for module in inner if isinstance(module, fx.GraphModule)]
        if len(bodies) == 2:
            found = _first_difference(bodies[0], bodies[1], growth)
            if found is not None:
                return found
    return None


def _named(node: fx.Node) -> str:
    return f"[{node.target} '{node.name}']"


def _arguments(node: fx.Node, order: Mapping[fx.Node, int]) -> tuple[Any, Any]:
    """Describe arguments: nodes by position, without sizes."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: ("node", order[source]))
    if isinstance(node.target, torch._ops.OpOverload):
        index = _SIZES.get(str(node.target).split(".")[1])
        if index is not None:
            args = (*args[:index], *args[index + 1 :])
    return args, kwargs


def _same_shapes(left: Any, right: Any, growth: tuple[int, int]) -> bool:
    """Tell whether two results differ at most in one axis, which grows with the batch."""
    if isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        return len(left) == len(right) and all(_same_shapes(a, b, growth) for a, b in zip(left, right, strict=True))
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return type(left) is type(right)
    if left.dtype != right.dtype or left.ndim != right.ndim:
        return False
    changed = [(a, b) for a, b in zip(left.shape, right.shape, strict=True) if a != b]
    return not changed or (len(changed) == 1 and changed[0][0] * growth[1] == changed[0][1] * growth[0])


def _same_constants(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items() if isinstance(value, torch.Tensor)
    )
