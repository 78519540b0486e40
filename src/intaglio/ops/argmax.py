"""Index of the largest or smallest element along an axis."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, rank
from intaglio.ops.contract import Contract, Plain, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import without
from intaglio.program.operators.argmax import ArgMax as IntegerArgMax


class ArgMax(FloatOperator):
    """ONNX ArgMax and ArgMin; among equals the first, or the last where `select_last_index` says so."""

    op_types = ("ArgMax", "ArgMin")

    @classmethod
    def axis(cls, node: ir.Node) -> int:
        """The axis that is searched, not negative."""
        return int(attribute(node, "axis", 0)) % rank(node.inputs[0])

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Indices, int64. torch's own argmax does not say which of several equals it takes."""
        x, axis = inputs[0], cls.axis(node)
        assert x is not None
        best = x.amax(axis, keepdim=True) if node.op_type == "ArgMax" else x.amin(axis, keepdim=True)
        n = x.shape[axis]
        index = torch.arange(n, device=x.device).reshape([-1] + [1] * (x.ndim - 1 - axis))
        if attribute(node, "select_last_index", 0):
            found = torch.where(x == best, index, -1).amax(axis, keepdim=True)
        else:
            found = torch.where(x == best, index, n).amin(axis, keepdim=True)
        return found if attribute(node, "keepdims", 1) else found.squeeze(axis)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """An index is no quantized number."""
        return Contract((Role.ACTIVATION,), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `argmax`."""
        x, axis = to.operand(node.inputs[0]), cls.axis(node)
        keepdims = bool(attribute(node, "keepdims", 1))
        operator = IntegerArgMax(
            axis=x.axis(axis),
            keepdims=keepdims,
            last=bool(attribute(node, "select_last_index", 0)),
            minimum=node.op_type == "ArgMin",
        )
        to.emit(node, operator, [x], node.outputs[0], x.axes if keepdims else without(x.axes, (axis,)))
