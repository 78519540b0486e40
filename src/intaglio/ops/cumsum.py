"""Running sums of plain integers, as positions are counted from a mask.   y[j] = sum of x[i] over i <= j"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, rank, shape, where
from intaglio.ops.contract import Contract, Plain, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.integer_cumsum import IntegerCumSum


class CumSum(FloatOperator):
    """ONNX CumSum of int32 or int64; one of real numbers is rewritten as a product with a triangle."""

    op_types = ("CumSum",)
    fixed = (1,)
    integers = (0,)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Integers only: real numbers along a constant axis of at most 4096 are rewritten before.

        Raises:
            UnsupportedOperatorError: naming the node.
        """
        kind = node.outputs[0].dtype
        if kind not in (ir.DataType.INT32, ir.DataType.INT64):
            raise UnsupportedOperatorError(
                f"{where(node)} expected integers, or at most 4096 real numbers along a constant axis, got {kind} of "
                f"shape {shape(node.inputs[0])}; use a convolution over a window"
            )

    @classmethod
    def axis(cls, node: ir.Node) -> int:
        """The axis along which it sums, not negative."""
        array = constant(node.inputs[1])
        assert array is not None, node.name
        return int(array.reshape(-1)[0]) % rank(node.inputs[0])

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Sums, int64."""
        x, axis = inputs[0], cls.axis(node)
        assert x is not None
        x = x.long()
        turned = x.flip(axis) if attribute(node, "reverse", 0) else x
        total = torch.cumsum(turned, axis)
        total = total.flip(axis) if attribute(node, "reverse", 0) else total
        return total - x if attribute(node, "exclusive", 0) else total

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Integers that stand for themselves."""
        return Contract((Role.ACTIVATION, Role.OFFLINE), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `integer_cumsum`."""
        x = to.operand(node.inputs[0])
        flags = {name: bool(attribute(node, name, 0)) for name in ("exclusive", "reverse")}
        to.emit(node, IntegerCumSum(x.axis(cls.axis(node)), **flags), [x], node.outputs[0], x.axes)
