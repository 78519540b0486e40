"""Tensors behind each other along one axis."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, constant
from intaglio.ops.broadcast import operand_roles
from intaglio.ops.contract import Contract, Joined
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.concat import Concat as IntegerConcat
from intaglio.program.operators.requantize import Requantize


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
