"""Sums of squares over constant axes, and their roots.   y = sum x^2,   y = sqrt(sum x^2)"""

from __future__ import annotations

import math
from typing import ClassVar

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import Axes, Lowering
from intaglio.ops.layout import without
from intaglio.ops.reduction import Reduction, reduced_axes
from intaglio.program.operators.reduce_square import ReduceSquare as IntegerReduceSquare


def _sum_of_squares(x: Tensor, axes: Axes, *, keepdim: bool) -> Tensor:
    return torch.sum(x * x, axes, keepdim=keepdim)


def _norm(x: Tensor, axes: Axes, *, keepdim: bool) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(x, 2, axes, keepdim=keepdim)
    return found


class ReduceSquare(Reduction):
    """ONNX ReduceL2 and ReduceSumSquare. The squares are summed exactly, without a grid of their own."""

    op_types = ("ReduceL2", "ReduceSumSquare")
    functions: ClassVar = {"ReduceL2": _norm, "ReduceSumSquare": _sum_of_squares}
    nothing: ClassVar = {"ReduceL2": torch.abs, "ReduceSumSquare": torch.square}

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """The result has a range of its own."""
        return Contract((Role.ACTIVATION, Role.OFFLINE), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reduce_square`."""
        x, axes, keepdims = to.operand(node.inputs[0]), reduced_axes(node), bool(attribute(node, "keepdims", 1))
        result, size = to.result(node), shape(node.inputs[0])
        operator = IntegerReduceSquare.from_real(
            x.quant,
            result.params,
            axes=tuple(sorted(x.axis(axis) for axis in axes)),
            keepdims=keepdims,
            root=node.op_type == "ReduceL2",
            count=math.prod(size[axis] for axis in axes),
            rule=to.rule,
            low=result.low,
            high=result.high,
        )
        to.emit(node, operator, [x], result.value, x.axes if keepdims else without(x.axes, axes))
