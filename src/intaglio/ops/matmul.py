"""Matrix products of two operands, computed or constant.   y = a @ b"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import constant, rank
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.gemm import lower_dense
from intaglio.program.operators.matmul import MatMul as IntegerMatMul


class MatMul(FloatOperator):
    """ONNX MatMul: the right side constant, or both sides computed."""

    op_types = ("MatMul",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """NumPy's matmul."""
        a, b = inputs
        assert a is not None and b is not None
        return torch.matmul(a, b)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A constant right side of rank 2 is a weight; every other constant an operand like a computed one."""
        left, right = node.inputs
        if constant(right) is not None and rank(right) == 2:
            return Contract((Role.ACTIVATION, Role.WEIGHT), fuses_clamp=True, fuses_sign=True, weight_axis=1)
        roles = tuple(Role.ACTIVATION if constant(v) is None else Role.SIDE for v in (left, right))
        return Contract(roles, fuses_clamp=True, fuses_sign=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """`dense` for a weight, `matmul` for two computed sides."""
        left, right = node.inputs
        if constant(right) is not None and rank(right) == 2:
            codes, params = to.weight(right)
            lower_dense(node, to, codes.T, params, None, 1.0)
            return
        a, b = (to.operand(v, axes=tuple(range(rank(v)))) for v in (left, right))
        result = to.result(node)
        operator = IntegerMatMul.from_real(
            a.quant,
            b.quant,
            result.params,
            depth=a.shape[-1],
            rule=to.rule,
            low=result.low,
            high=result.high,
            accumulator=to.accumulator,
        )
        to.emit(node, operator, [a, b], result.value, tuple(range(rank(result.value))))
