"""Elementwise product of two operands, computed or constant.   y = a * b"""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.ops.broadcast import aligned_operands, operand_roles
from intaglio.ops.contract import Contract
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.mul import Mul as IntegerMul


class Mul(FloatOperator):
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
        clamp = {"low": result.low, "high": result.high}
        operator = IntegerMul.from_real(
            a.quant, b.quant, result.params, rule=to.rule, **clamp, accumulator=to.accumulator
        )
        to.emit(node, operator, [a, b], result.value, axes)
