"""Operands that are plain integers or booleans, or are compared: their roles, and one order of axes for both."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import Array, constant, rank, where
from intaglio.number import INT32
from intaglio.ops.contract import Role
from intaglio.ops.float_operator import Axes, Lowering, Placed


def plain_roles(node: ir.Node) -> tuple[Role, ...]:
    """ACTIVATION for computed operands, OFFLINE for constants."""
    return tuple(Role.ACTIVATION if constant(value) is None else Role.OFFLINE for value in node.inputs)


def computed_operand(node: ir.Node, index: int, to: Lowering) -> tuple[Placed, Axes]:
    """Place a computed operand with the rank of the result."""
    value, size = node.inputs[index], rank(node.outputs[0])
    axes = to.operand(value, rank=size).axes
    return to.operand(value, rank=size, axes=axes), axes


def aligned_integers(node: ir.Node, to: Lowering) -> tuple[list[Placed], Axes]:
    """Place all operands with the rank of the result and in one order of axes; constants as integers."""
    arrays, size = [constant(value) for value in node.inputs], rank(node.outputs[0])
    full = next((i for i, v in enumerate(node.inputs) if arrays[i] is None and rank(v) == size), None)
    first = next(i for i, array in enumerate(arrays) if array is None) if full is None else full
    _, axes = computed_operand(node, first, to)
    placed = [
        to.operand(value, rank=size, axes=axes) if array is None else constant_integers(node, array, axes, to)
        for value, array in zip(node.inputs, arrays, strict=True)
    ]
    return placed, axes


def constant_integers(node: ir.Node, array: NDArray[np.generic], axes: Axes, to: Lowering) -> Placed:
    """Place a constant of integers in an order of axes."""
    whole = np.asarray(array).reshape((1,) * (len(axes) - array.ndim) + array.shape)
    return to.integers(f"{node.name}.constant", whole.transpose(axes), axes, INT32)


def require_int32(node: ir.Node, array: Array) -> None:
    """Refuse constants that a Program does not hold as plain integers.

    Raises:
        UnsupportedOperatorError: naming the node.
    """
    if array.dtype.kind in "iu" and array.size and (array.min() < INT32.qmin or array.max() > INT32.qmax):
        raise UnsupportedOperatorError(
            f"{where(node)} expected integers that fit 32 bits, got {array.min()} to {array.max()}; compute "
            "them outside the network"
        )
