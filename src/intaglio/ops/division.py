"""Division by a constant.   y = x / c"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, rank
from intaglio.ops.affine import lower_affine
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering


class Div(FloatOperator):
    """ONNX Div by a constant; the passes make most of them a Mul or part of a weight."""

    op_types = ("Div",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        a, b = inputs
        assert a is not None and b is not None
        return a / b

    @classmethod
    def axis(cls, node: ir.Node) -> int | None:
        """The graph axis along which the divisors lie, None for one divisor.

        Raises:
            UnsupportedOperatorError: they are computed, differ along several axes, or hold a zero.
        """
        value, full = node.inputs[1], rank(node.outputs[0])
        array = constant(value)
        if array is None:
            raise UnsupportedOperatorError(
                f"[Div {node.name!r}] expected a constant divisor, got a computed one: integers cannot divide cheaply. "
                "Rewrite it as Reciprocal and Mul, or keep that part out of the model"
            )
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
        """The divisor goes into a multiplier."""
        cls.axis(node)
        return Contract((Role.ACTIVATION, Role.OFFLINE), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One depthwise 1x1 `conv2d`, see `affine`."""
        array = constant(node.inputs[1])
        assert array is not None
        gain = 1.0 / array.reshape(-1).astype(np.float64)
        lower_affine(node, to, cls.axis(node), gain, np.zeros_like(gain))
