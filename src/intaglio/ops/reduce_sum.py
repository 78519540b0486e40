"""Sums and means over constant axes.   y = sum or mean of x over some axes"""

from __future__ import annotations

import math
from typing import ClassVar

import onnx_ir as ir
import torch

from intaglio.graph.access import attribute, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import Lowering
from intaglio.ops.layout import without
from intaglio.ops.reduction import Reduction, reduced_axes
from intaglio.program.operators.reduce_sum import ReduceSum as IntegerReduceSum


class ReduceSum(Reduction):
    """ONNX ReduceSum and ReduceMean."""

    op_types = ("ReduceMean", "ReduceSum")
    functions: ClassVar = {"ReduceMean": torch.mean, "ReduceSum": torch.sum}

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A sum has a larger range than what is summed, a mean a smaller one."""
        return Contract((Role.ACTIVATION, Role.OFFLINE), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reduce_sum`, whose factor holds the 1/N of a mean."""
        x, axes, keepdims = to.operand(node.inputs[0]), reduced_axes(node), bool(attribute(node, "keepdims", 1))
        result = to.result(node)
        size = shape(node.inputs[0])
        count = math.prod(size[axis] for axis in axes)
        operator = IntegerReduceSum.from_real(
            x.quant,
            result.params,
            axes=tuple(sorted(x.axis(axis) for axis in axes)),
            keepdims=keepdims,
            factor=1.0 / count if node.op_type == "ReduceMean" else 1.0,
            count=count,
            rule=to.rule,
            low=result.low,
            high=result.high,
            accumulator=to.accumulator,
        )
        to.emit(node, operator, [x], result.value, x.axes if keepdims else without(x.axes, axes))
