"""Maxima and minima over constant axes.   y = max or min of x over some axes"""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import attribute
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import without
from intaglio.ops.reduce_sum import reduced_axes
from intaglio.program.operators.reduce_max import ReduceMax as IntegerReduceMax


class ReduceMax(FloatOperator):
    """ONNX ReduceMax and ReduceMin."""

    op_types = ("ReduceMax", "ReduceMin")
    fixed = (1,)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Over the axes, which stay with size 1 where `keepdims` says so."""
        x, axes, keepdims = inputs[0], reduced_axes(node), bool(attribute(node, "keepdims", 1))
        assert x is not None
        if not axes:
            return x
        return x.amax(axes, keepdim=keepdims) if node.op_type == "ReduceMax" else x.amin(axes, keepdim=keepdims)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Picks integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reduce_max`."""
        x, axes, keepdims = to.operand(node.inputs[0]), reduced_axes(node), bool(attribute(node, "keepdims", 1))
        operator = IntegerReduceMax(
            axes=tuple(sorted(x.axis(axis) for axis in axes)), keepdims=keepdims, minimum=node.op_type == "ReduceMin"
        )
        to.emit(node, operator, [x], node.outputs[0], x.axes if keepdims else without(x.axes, axes))
