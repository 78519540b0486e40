"""Change nodes to compute on another order of axes.

`PERMUTE[op_type](graph, node, perm)` changes attributes and constants of a node so that it computes the same with
all its computed inputs and outputs transposed by `perm`: new = old.transpose(perm). Old axis a is the new axis
perm.index(a). It returns False, without a change, where the node cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, rank
from intaglio.graph.edit import set_attribute, set_constant
from intaglio.graph.operators import named

Perm = tuple[int, ...]
Permute = Callable[[ir.Graph, ir.Node, Perm], bool]


def inverse(perm: Sequence[int]) -> Perm:
    """Invert a permutation."""
    return tuple(int(axis) for axis in np.argsort(np.asarray(perm)))


def compose(first: Sequence[int], second: Sequence[int]) -> Perm:
    """Compose: x.transpose(first).transpose(second) = x.transpose(compose(first, second))."""
    return tuple(first[axis] for axis in second)


def is_identity(perm: Sequence[int]) -> bool:
    """Tell whether a permutation moves nothing."""
    return tuple(perm) == tuple(range(len(perm)))


def moves_nothing(perm: Sequence[int], sizes: Sequence[int]) -> bool:
    """Tell whether a transpose moves axes of size 1 only, so that a Reshape does the same."""
    kept = [axis for axis in perm if sizes[axis] != 1]
    return kept == sorted(kept)


def can_permute(node: ir.Node) -> bool:
    """Tell whether a node works in any order of axes: computed operands of one rank, known parameters."""
    return not node.domain and node.op_type in PERMUTE and _CHECKS.get(node.op_type, _same_rank)(node)


def _same_rank(node: ir.Node) -> bool:
    full = rank(node.outputs[0])
    return full > 1 and all(value.is_initializer() or rank(value) == full for value in node.inputs if value is not None)


def _constants_from(first: int) -> Callable[[ir.Node], bool]:
    def check(node: ir.Node) -> bool:
        return _same_rank(node) and all(value is None or value.is_initializer() for value in node.inputs[first:])

    return check


def _keeps_axes(node: ir.Node) -> bool:
    return _constants_from(1)(node) and bool(attribute(node, "keepdims", 1)) and input_value(node, 1) is not None


def _per_tensor(node: ir.Node) -> bool:
    return (
        _same_rank(node)
        and not attribute(node, "block_size", 0)
        and all(array is not None and array.size == 1 for array in (constant(input_value(node, 1)),))
    )


def _by_vector(node: ir.Node) -> bool:
    indices = input_value(node, 1)
    return _constants_from(1)(node) and indices is not None and rank(indices) == 1


def permuted_operand(array: Array, perm: Perm) -> Array:
    """Permute a broadcast operand of lower or equal rank."""
    if array.ndim == 0:
        return array
    return array.reshape((1,) * (len(perm) - array.ndim) + array.shape).transpose(perm)


def _nothing(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
    return True


def _operands(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
    for value in node.inputs:
        array = constant(value)
        if value is not None and value.is_initializer() and array is not None:
            set_constant(value, permuted_operand(array, perm))
    return True


def _axis(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
    set_attribute(node, "axis", perm.index(int(attribute(node, "axis")) % len(perm)))
    return True


def _concat(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
    return _operands(graph, node, perm) and _axis(graph, node, perm)


def _replace(node: ir.Node, index: int, array: Array) -> None:
    value = node.inputs[index]
    assert value is not None
    set_constant(value, array)


def _axes(index: int) -> Permute:
    def permute(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
        axes = constant(input_value(node, index))
        assert axes is not None
        _replace(node, index, np.array([perm.index(int(axis)) for axis in axes], dtype=np.int64))
        return True

    return permute


def _pad(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
    pads = constant(node.inputs[1])
    assert pads is not None
    full = len(perm)
    _replace(node, 1, np.concatenate([pads[:full][list(perm)], pads[full:][list(perm)]]))
    return True


def _sizes(index: int) -> Permute:
    """Permute an input of one number per axis, as Tile, Expand and Resize have it."""

    def permute(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
        numbers = constant(input_value(node, index))
        if numbers is not None:
            padded = np.concatenate([np.ones(len(perm) - len(numbers), dtype=numbers.dtype), numbers])
            _replace(node, index, padded[list(perm)])
        return True

    return permute


def _resize(graph: ir.Graph, node: ir.Node, perm: Perm) -> bool:
    roi = constant(input_value(node, 1))
    if roi is not None and roi.size:
        full = len(perm)
        _replace(node, 1, np.concatenate([roi[:full][list(perm)], roi[full:][list(perm)]]))
    return _sizes(2)(graph, node, perm) and _sizes(3)(graph, node, perm)


PERMUTE: dict[str, Permute] = {
    **dict.fromkeys(named("elementwise"), _operands),
    **dict.fromkeys(named("function"), _nothing),
    **dict.fromkeys(named("reduces"), _axes(1)),
    **dict.fromkeys(
        ["ArgMax", "ArgMin", "Gather", "Hardmax", "LogSoftmax", "LpNormalization", "Softmax", "Split"], _axis
    ),
    "Concat": _concat,
    "DequantizeLinear": _nothing,
    "Expand": _sizes(1),
    "Pad": _pad,
    "QuantizeLinear": _nothing,
    "Resize": _resize,
    "Slice": _axes(3),
    "Tile": _sizes(1),
}

_CHECKS: dict[str, Callable[[ir.Node], bool]] = {
    **dict.fromkeys(named("reduces"), _keeps_axes),
    "ArgMax": lambda node: _same_rank(node) and bool(attribute(node, "keepdims", 1)),
    "ArgMin": lambda node: _same_rank(node) and bool(attribute(node, "keepdims", 1)),
    "Clip": _constants_from(1),
    "DequantizeLinear": _per_tensor,
    "Expand": _constants_from(1),
    "Gather": _by_vector,
    "Pad": lambda node: _constants_from(1)(node) and input_value(node, 3) is None,
    "QuantizeLinear": _per_tensor,
    "Resize": lambda node: _constants_from(1)(node) and not attribute(node, "axes", ()),
    "Slice": lambda node: _constants_from(1)(node) and input_value(node, 3) is not None,
    "Split": _constants_from(1),
    "Tile": _constants_from(1),
}
