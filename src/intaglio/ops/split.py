"""Parts of a tensor along one axis."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, shape
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.slice import Slice


class Split(FloatOperator):
    """ONNX Split into equal parts or parts of constant sizes."""

    op_types = ("Split",)
    fixed = (1,)
    integers = (0,)
    results = None

    @classmethod
    def sizes(cls, node: ir.Node) -> tuple[int, ...]:
        """Of the parts; a last one may be smaller."""
        axis = attribute(node, "axis", 0)
        return tuple(shape(value)[axis] for value in node.outputs)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Along `axis`."""
        x = inputs[0]
        assert x is not None
        return tuple(torch.split(x, list(cls.sizes(node)), dim=attribute(node, "axis", 0)))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """A `slice` for each part."""
        x, start = to.operand(node.inputs[0]), 0
        axis = x.axis(attribute(node, "axis", 0))
        for value, size in zip(node.outputs, cls.sizes(node), strict=True):
            operator = Slice(axes=(axis,), starts=(start,), stops=(start + size,), steps=(1,))
            to.emit(node, operator, [x], value, x.axes)
            start += size
