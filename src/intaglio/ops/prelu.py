"""Leaky rectifiers.   y = x for x >= 0, slope * x below"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, rank, shape
from intaglio.number import QuantParams, Rule
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering, Result
from intaglio.ops.layout import ending_with
from intaglio.ops.operands import constant_operand
from intaglio.ops.unary import unary_operator
from intaglio.program import Operator
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.prelu import PRelu


class Leaky(FloatOperator):
    """ONNX LeakyRelu, and PRelu with a constant slope: one number, or one along an axis."""

    op_types = ("LeakyRelu", "PRelu")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """The slope broadcasts to x."""
        x = inputs[0]
        assert x is not None
        if node.op_type == "LeakyRelu":
            return F.leaky_relu(x, attribute(node, "alpha", 0.01))
        assert inputs[1] is not None
        return torch.where(x < 0, inputs[1] * x, x)

    @classmethod
    def slopes(cls, node: ir.Node) -> tuple[NDArray[np.float64], int | None]:
        """The slopes, (1,) or (C,), and the graph axis along which they lie, None for one slope.

        Raises:
            UnsupportedOperatorError: they are computed, or differ along several axes.
        """
        if node.op_type == "LeakyRelu":
            return np.array([attribute(node, "alpha", 0.01)]), None
        array, full = constant_operand(node, 1), rank(node.inputs[0])
        size = (1,) * (full - array.ndim) + array.shape
        varying = [axis for axis, n in enumerate(size) if n != 1]
        if len(varying) > 1:
            raise UnsupportedOperatorError(
                f"[PRelu {node.name!r}] expected one slope or one per channel, got slopes of shape {array.shape} for "
                f"an input of shape {shape(node.inputs[0])}"
            )
        return array.reshape(-1).astype(np.float64), varying[0] if varying else None

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Slopes become integer parameters."""
        cls.slopes(node)
        return Contract((Role.ACTIVATION, Role.OFFLINE), fuses_clamp=True, learns=(1,))

    @classmethod
    def unary(cls, node: ir.Node, x: QuantParams, result: Result, rule: Rule) -> Operator:
        """Of one slope a `lut` for up to 8 bits, else a `prelu`, which is exact at the kink."""
        slopes, axis = cls.slopes(node)
        bounds = {"low": result.low, "high": result.high}
        if node.op_type == "LeakyRelu" and x.type.bits == 8 and rule is Rule.TFLITE:
            return Lut.from_slopes(x, result.params, (float(slopes[0]), 1.0), **bounds)
        if x.type.bits <= 8 and axis is None:
            return Lut.from_real(x, result.params, lambda v: cls.exactly(node, v), **bounds)
        return PRelu.from_real(x, result.params, slopes[0] if axis is None else slopes, rule=rule, **bounds)

    @classmethod
    def unary_axis(cls, node: ir.Node) -> int | None:
        """That of the slopes."""
        return cls.slopes(node)[1]

    @classmethod
    def exactly(cls, node: ir.Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of one slope."""
        return np.where(x < 0, cls.slopes(node)[0][0] * x, x)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """The operator of `unary`, channels last where it has a slope per channel."""
        x, result, axis = to.operand(node.inputs[0]), to.result(node), cls.unary_axis(node)
        if axis is not None:
            x = to.operand(node.inputs[0], axes=ending_with(x.axes, (axis,)))
        operator = unary_operator(node, x.quant, result, to.rule)
        assert operator is not None
        to.emit(node, operator, [x], result.value, x.axes)
