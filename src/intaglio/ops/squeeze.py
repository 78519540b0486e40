"""Axes of size 1 that come or go: Squeeze, Unsqueeze."""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import rank, shape
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT, constant_ints
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import with_inserted, without
from intaglio.program.operators.reshape import Reshape


class Squeeze(FloatOperator):
    """ONNX Squeeze and Unsqueeze with constant axes."""

    op_types = ("Squeeze", "Unsqueeze")
    fixed = (1,)
    integers = (0,)

    @classmethod
    def axes(cls, node: ir.Node) -> tuple[int, ...]:
        """The axes of size 1 that go or come, sorted."""
        longer = max(rank(node.inputs[0]), rank(node.outputs[0]))
        axes = constant_ints(node, 1)
        if axes is None:
            return tuple(axis for axis, size in enumerate(shape(node.inputs[0])) if size == 1)
        return tuple(sorted(axis % longer for axis in axes))

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Axis by axis, so that every other one may have any size."""
        x = inputs[0]
        assert x is not None
        if node.op_type == "Squeeze":
            return x.squeeze(cls.axes(node))
        for axis in cls.axes(node):
            x = x.unsqueeze(axis)
        return x

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        cls.axes(node)
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reshape`, in the order that the input has."""
        x, value = to.operand(node.inputs[0]), node.outputs[0]
        if node.op_type == "Squeeze":
            axes = without(x.axes, cls.axes(node))
        else:
            axes = with_inserted(x.axes, cls.axes(node), rank(value))
        size = [shape(value)[axis] for axis in axes]
        if size and axes[0] == 0 and x.axes[:1] == (0,):
            size[0] = to.leading(size[0])
        to.emit(node, Reshape(to=tuple(size)), [x], value, axes)
