"""Division of two operands, computed or constant.   y = a / b"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, rank
from intaglio.ops.affine import lower_affine
from intaglio.ops.broadcast import aligned_operands, operand_roles
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.operands import constant_operand
from intaglio.program.operators.div import Div as IntegerDiv


class Div(FloatOperator):
    """ONNX Div; by a constant, the passes make most of them a Mul or part of a weight."""

    op_types = ("Div",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does; 0 / 0 is 0, as on a grid both may have been rounded to 0."""
        a, b = inputs
        assert a is not None and b is not None
        zero = b == 0
        quotient = a / torch.where(zero, torch.ones_like(b), b)  # the gradient stays finite where the divisor is 0
        return torch.where(zero, torch.where(a == 0, 0.0, a.sign() * torch.inf), quotient)

    @classmethod
    def axis(cls, node: ir.Node) -> int | None:
        """The graph axis along which the divisors lie, None for one divisor.

        Raises:
            UnsupportedOperatorError: they differ along several axes, or hold a zero.
        """
        full, array = rank(node.outputs[0]), constant_operand(node, 1)
        if not array.all():
            raise UnsupportedOperatorError(f"[Div {node.name!r}] expected a divisor without zeros, got one with them")
        varying = [axis for axis, n in enumerate((1,) * (full - array.ndim) + array.shape) if n != 1]
        if len(varying) > 1 or rank(node.inputs[0]) != full:
            raise UnsupportedOperatorError(
                f"[Div {node.name!r}] expected one divisor or one per channel, got divisors of shape {array.shape}; "
                "multiply by their reciprocals"
            )
        return varying[0] if varying else None

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A constant divisor goes into a multiplier."""
        if constant(node.inputs[1]) is None:
            return Contract(operand_roles(node), fuses_clamp=True)
        cls.axis(node)
        return Contract((Role.ACTIVATION, Role.OFFLINE), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One depthwise 1x1 `conv2d`, see `affine`, or one `div`."""
        array = constant(node.inputs[1])
        if array is None:
            a, b, axes = aligned_operands(node, to)
            result = to.result(node)
            operator = IntegerDiv.from_real(
                a.quant,
                b.quant,
                result.params,
                rule=to.rule,
                low=result.low,
                high=result.high,
                accumulator=to.accumulator,
            )
            to.emit(node, operator, [a, b], result.value, axes)
            return
        gain = 1.0 / array.reshape(-1).astype(np.float64)
        lower_affine(node, to, cls.axis(node), gain, np.zeros_like(gain))
