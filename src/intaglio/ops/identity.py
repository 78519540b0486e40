"""Operators that change nothing: what a Graph that no pass has tidied up may still hold."""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering


class Identity(FloatOperator):
    """ONNX Identity, and Dropout at inference."""

    op_types = ("Dropout", "Identity")
    integers = (0,)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """The input itself."""
        assert inputs[0] is not None
        return inputs[0]

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """Another name for the same tensor."""
        x = to.operand(node.inputs[0])
        to.alias(node.outputs[0], x, x.axes)
