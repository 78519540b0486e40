"""Sums and means over constant axes.   y = sum or mean of x over some axes"""

from __future__ import annotations

import math

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import attribute, rank, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.data_movement import constant_ints
from intaglio.ops.float_operator import Axes, FloatOperator, Lowering
from intaglio.ops.layout import without
from intaglio.program.operators.reduce_sum import ReduceSum as IntegerReduceSum


def reduced_axes(node: ir.Node) -> Axes:
    """The axes that a reduction goes over, sorted; none where it is told to do nothing without axes."""
    axes = constant_ints(node, 1) or ()
    full = rank(node.inputs[0])
    if not axes:
        return () if attribute(node, "noop_with_empty_axes", 0) else tuple(range(full))
    return tuple(sorted(axis % full for axis in axes))


class ReduceSum(FloatOperator):
    """ONNX ReduceSum and ReduceMean."""

    op_types = ("ReduceMean", "ReduceSum")
    fixed = (1,)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Over the axes, which stay with size 1 where `keepdims` says so."""
        x, axes, keepdims = inputs[0], reduced_axes(node), bool(attribute(node, "keepdims", 1))
        assert x is not None
        if not axes:
            return x
        return x.sum(axes, keepdim=keepdims) if node.op_type == "ReduceSum" else x.mean(axes, keepdim=keepdims)

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
        )
        to.emit(node, operator, [x], result.value, x.axes if keepdims else without(x.axes, axes))
