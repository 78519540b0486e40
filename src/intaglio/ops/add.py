"""Elementwise sum and difference of two operands, computed or constant.   y = a + b,  y = a - b"""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.ops.broadcast import aligned_operands, operand_roles
from intaglio.ops.contract import Contract
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.masks import lower_mask, mask_contract, mask_of
from intaglio.program.operators.add import Add as IntegerAdd


class Add(FloatOperator):
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
        """The result has a range of its own; both operands keep theirs. A sum that masks scores has no result."""
        keep = mask_of(node)
        if keep is not None:
            return mask_contract(node, keep)
        return Contract(operand_roles(node), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `add`; nothing for a mask."""
        if mask_of(node) is not None:
            lower_mask(node, to)
            return
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
