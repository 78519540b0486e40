"""Parts and wholes along one axis: Concat, Split."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, constant, shape
from intaglio.ops.arithmetic import operand_roles
from intaglio.ops.contract import Contract, Joined
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.movement import MOVES
from intaglio.program.operators.concat import Concat as IntegerConcat
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.slice import Slice


class Concat(FloatOperator):
    """ONNX Concat."""

    op_types = ("Concat",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Along `axis`."""
        return torch.cat([x for x in inputs if x is not None], dim=attribute(node, "axis", 0))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Parts are written with the parameters of the whole where only this node reads them."""
        return Contract(operand_roles(node), Joined())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `concat`; parts on another grid are requantized first."""
        first = next(v for v in node.inputs if constant(v) is None)
        axes = to.operand(first).axes
        result = to.result(node)
        parts = []
        for value in node.inputs:
            part = to.operand(value, axes=axes)
            if part.quant != result.params:
                part = to.step(
                    node, Requantize.from_real(part.quant, result.params, rule=to.rule), [part], result.params, axes
                )
            parts.append(part)
        axis = parts[0].axis(attribute(node, "axis", 0))
        to.emit(node, IntegerConcat(axis=axis), parts, result.value, axes)


class Split(FloatOperator):
    """ONNX Split into equal parts or parts of constant sizes."""

    op_types = ("Split",)
    fixed = (1,)
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
        return MOVES

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """A `slice` for each part."""
        x, start = to.operand(node.inputs[0]), 0
        axis = x.axis(attribute(node, "axis", 0))
        for value, size in zip(node.outputs, cls.sizes(node), strict=True):
            operator = Slice(axes=(axis,), starts=(start,), stops=(start + size,), steps=(1,))
            to.emit(node, operator, [x], value, x.axes)
            start += size
