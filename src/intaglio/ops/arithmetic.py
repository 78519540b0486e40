"""Elementwise sums and products of two operands, computed or constant.   y = a + b,  a - b,  a * b"""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import constant, rank
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import Axes, FloatOperator, Lowering, Placed
from intaglio.program.operators.add import Add as IntegerAdd
from intaglio.program.operators.mul import Mul as IntegerMul


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


class Sum(FloatOperator):
    """ONNX Add and Sub."""

    op_types = ("Add", "Sub")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        a, b = inputs
        assert a is not None and b is not None
        return a + b if node.op_type == "Add" else a - b

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """The result has a range of its own; both operands keep theirs."""
        return Contract(operand_roles(node), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `add`."""
        a, b, axes = aligned_operands(node, to)
        result = to.result(node)
        operator = IntegerAdd.from_real(
            a.quant,
            b.quant,
            result.params,
            rule=to.rule,
            low=result.low,
            high=result.high,
            subtract=node.op_type == "Sub",
        )
        to.emit(node, operator, [a, b], result.value, axes)


class Product(FloatOperator):
    """ONNX Mul."""

    op_types = ("Mul",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        a, b = inputs
        assert a is not None and b is not None
        return a * b

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """The result has a range of its own; both operands keep theirs."""
        return Contract(operand_roles(node), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `mul`."""
        a, b, axes = aligned_operands(node, to)
        result = to.result(node)
        operator = IntegerMul.from_real(a.quant, b.quant, result.params, rule=to.rule, low=result.low, high=result.high)
        to.emit(node, operator, [a, b], result.value, axes)
