"""Both operands of an elementwise operator: their roles, and one rank and order of axes for both."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.graph.access import constant, rank
from intaglio.ops.contract import Role
from intaglio.ops.float_operator import Axes, Lowering, Placed


def operand_roles(node: ir.Node) -> tuple[Role, ...]:
    """ACTIVATION for computed operands, SIDE for constants."""
    return tuple(Role.ACTIVATION if constant(v) is None else Role.SIDE for v in node.inputs)


def aligned_operands(node: ir.Node, to: Lowering) -> tuple[Placed, Placed, Axes]:
    """Both operands with the result's rank and in one order of axes: that of the computed one that is an image."""
    size = max(rank(v) for v in node.inputs)
    first = next((v for v in node.inputs if constant(v) is None and rank(v) == size), node.inputs[0])
    axes = to.operand(first, rank=size).axes
    a, b = (to.operand(v, rank=size, axes=axes) for v in node.inputs)
    return a, b, axes
