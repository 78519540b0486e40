"""Broadcasting to a constant shape."""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import rank, shape
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT, constant_ints
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.expand import Expand as IntegerExpand


class Expand(FloatOperator):
    """ONNX Expand to a constant shape."""

    op_types = ("Expand",)
    fixed = (1,)
    integers = (0,)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """A batch other than the Graph's is kept."""
        x = inputs[0]
        assert x is not None
        to = list(shape(node.outputs[0]))
        if x.ndim == len(to) and shape(node.inputs[0])[:1] == (to[0],):
            to[0] = x.shape[0]
        return x.expand(to)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        constant_ints(node, 1)
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `expand`, in the order that the input has."""
        value = node.outputs[0]
        x = to.operand(node.inputs[0], rank=rank(value))
        size = [shape(value)[axis] for axis in x.axes]
        if x.axes[:1] == (0,) and x.shape[0] == size[0]:
            size[0] = to.leading(size[0])
        to.emit(node, IntegerExpand(to=tuple(size)), [x], value, x.axes)
