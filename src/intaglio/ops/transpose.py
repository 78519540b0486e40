"""Transpose: permuted axes. Nothing moves until an operator needs another order."""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import attribute, rank
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering


class Transpose(FloatOperator):
    """ONNX Transpose: nothing moves until an operator needs another order."""

    op_types = ("Transpose",)
    integers = (0,)

    @classmethod
    def perm(cls, node: ir.Node) -> tuple[int, ...]:
        """Input axis of each output axis."""
        return tuple(attribute(node, "perm", tuple(reversed(range(rank(node.inputs[0]))))))

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Permutes axes."""
        assert inputs[0] is not None
        return inputs[0].permute(cls.perm(node))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """The same tensor under renamed axes."""
        x = to.operand(node.inputs[0])
        perm = cls.perm(node)
        to.alias(node.outputs[0], x, tuple(perm.index(axis) for axis in x.axes))
