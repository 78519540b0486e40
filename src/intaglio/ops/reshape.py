"""Reshape: the same elements in the same order, in another shape."""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import shape
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import reshaped
from intaglio.program.operators.reshape import Reshape as IntegerReshape


class Reshape(FloatOperator):
    """ONNX Reshape and Flatten."""

    op_types = ("Flatten", "Reshape")
    fixed = (1,)
    integers = (0,)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Row-major; a batch other than the Graph's is carried over on axis 0."""
        x = inputs[0]
        assert x is not None
        to, size = shape(node.outputs[0]), shape(node.inputs[0])
        if size and x.shape[0] != size[0] and to[:1] == size[:1]:
            to = (x.shape[0], *to[1:])
        return x.reshape(to)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reshape`, in the order that the input has wherever the axes that merge lie side by side in it."""
        source, value = node.inputs[0], node.outputs[0]
        needed, axes = reshaped(to.operand(source).axes, shape(source), shape(value))
        x = to.operand(source, axes=needed)
        size = [shape(value)[axis] for axis in axes]
        if axes[:1] == (0,) and needed[:1] == (0,) and shape(source)[0] == size[0]:
            size[0] = to.leading(size[0])
        to.emit(node, IntegerReshape(to=tuple(size)), [x], value, axes)
