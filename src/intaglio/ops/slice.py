"""Slice with constant bounds."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import shape
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT, constant_ints
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.slice import Slice as IntegerSlice


class Slice(FloatOperator):
    """ONNX Slice with constant bounds."""

    op_types = ("Slice",)
    integers = (0,)
    fixed = (1, 2, 3, 4)

    @classmethod
    def index(cls, node: ir.Node) -> tuple[slice, ...]:
        """One Python slice per axis of the input; negative steps included."""
        size = shape(node.inputs[0])
        starts, ends = (constant_ints(node, index) or () for index in (1, 2))
        axes = constant_ints(node, 3) or tuple(range(len(starts)))
        steps = constant_ints(node, 4) or (1,) * len(starts)
        index = [slice(0, n, 1) for n in size]
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            n = size[axis]
            first, stop, _ = slice(start, max(end, -n - 1) if end < 0 else end, step).indices(n)
            index[axis % len(size)] = slice(first, stop, step)
        return tuple(index)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """The whole batch where axis 0 is not sliced."""
        x = inputs[0]
        assert x is not None
        for axis, (part, n) in enumerate(zip(cls.index(node), shape(node.inputs[0]), strict=True)):
            if part == slice(0, n, 1):
                continue
            if part.step > 0:
                x = x[(slice(None),) * axis + (part,)]
            else:
                x = x.index_select(axis, torch.arange(part.start, part.stop, part.step, device=x.device))
        return x

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `slice` in the order that the input has."""
        x = to.operand(node.inputs[0])
        index, size = cls.index(node), shape(node.inputs[0])
        axes = [axis for axis in range(len(size)) if index[axis] != slice(0, size[axis], 1)]
        operator = IntegerSlice(
            axes=tuple(x.axis(axis) for axis in axes),
            starts=tuple(index[axis].start for axis in axes),
            stops=tuple(index[axis].stop for axis in axes),
            steps=tuple(index[axis].step for axis in axes),
        )
        to.emit(node, operator, [x], node.outputs[0], x.axes)
