"""Index of the largest or smallest element along an axis."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute, rank
from intaglio.number import QuantParams
from intaglio.ops.contract import Contract, Plain, Role
from intaglio.ops.layout import without
from intaglio.ops.operator import FloatOperator, Lowering, Placed
from intaglio.program.operators.argmax import ArgMax as IntegerArgMax
from intaglio.program.operators.lut import Lut


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
        """One `argmax`; the smallest is the largest of the mirrored codes."""
        x, axis = to.operand(node.inputs[0]), cls.axis(node)
        if node.op_type == "ArgMin":
            x = to.step(node, _mirror(x), [x], x.params, x.axes)
        keepdims = bool(attribute(node, "keepdims", 1))
        operator = IntegerArgMax(
            axis=x.axis(axis), keepdims=keepdims, last=bool(attribute(node, "select_last_index", 0))
        )
        to.emit(node, operator, [x], node.outputs[0], x.axes if keepdims else without(x.axes, (axis,)))


def _mirror(x: Placed) -> Lut:
    """`qmin + qmax - code`, exact up to 8 bits; of 16 bits, a few of the largest codes change to their neighbour's."""
    codes = QuantParams(x.type, np.ones((), np.float32))
    return Lut.from_real(codes, codes, lambda code: x.type.qmin + x.type.qmax - code)
