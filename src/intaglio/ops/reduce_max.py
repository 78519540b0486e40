"""Maxima and minima over constant axes.   y = max or min of x over some axes"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
import torch

from intaglio.graph.access import attribute
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import Lowering
from intaglio.ops.layout import without
from intaglio.ops.reduction import Reduction, reduced_axes
from intaglio.program.operators.reduce_max import ReduceMax as IntegerReduceMax


class ReduceMax(Reduction):
    """ONNX ReduceMax and ReduceMin."""

    op_types = ("ReduceMax", "ReduceMin")
    functions: ClassVar = {"ReduceMax": torch.amax, "ReduceMin": torch.amin}

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
