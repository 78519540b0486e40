"""Every function of one value, as a table.   y = f(x)

Inputs of 8 bits and less: one entry for each of the 2**bits codes, made offline in float64. Inputs of 16 bits: a table
with linear interpolation, whose knots stand close where the function bends or jumps.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, rank
from intaglio.graph.operators import facts
from intaglio.number import QuantParams, Rule
from intaglio.ops.contract import Contract, Fixed, Own, Role
from intaglio.ops.float_operator import FloatOperator, Lowering, Result
from intaglio.ops.functions import FUNCTIONS, KNOWN_RANGES
from intaglio.ops.operands import require_one_of
from intaglio.ops.unary import unary_operator
from intaglio.program import Operator
from intaglio.program.operators.lut import Lut


class Pointwise(FloatOperator):
    """ONNX operators of one input that work element by element, and have attributes only."""

    op_types = tuple(FUNCTIONS)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """The forms of Gelu that ONNX has."""
        require_one_of(node, "approximate", ("none", "tanh"), "none")

    @classmethod
    def function(cls, node: ir.Node, x: Tensor) -> Tensor:
        """f(x), in the precision of x."""
        return FUNCTIONS[node.op_type](node, x)

    @classmethod
    def computed(cls, node: ir.Node) -> ir.Value | None:
        """The input that is x."""
        return node.inputs[0]

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Elementwise."""
        assert inputs[0] is not None
        return cls.function(node, inputs[0])

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A range known from mathematics, or measured. A clamp behind it goes into the table."""
        output = Fixed(*facts(node.op_type).range) if node.op_type in KNOWN_RANGES else Own()
        return Contract((Role.ACTIVATION,), output, fuses_clamp=True)

    @classmethod
    def exactly(cls, node: ir.Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """f(x) in float64, for tables; x ascends, (K,).

        Codes outside the function's domain (negative ones of a logarithm) get the value at its edge: no number in the
        domain is ever rounded to them, but a symmetric grid has them.
        """
        y = cls.function(node, torch.as_tensor(x)).numpy()
        inside = np.flatnonzero(~np.isnan(y))
        if not inside.size:
            return y
        nearest = np.clip(np.searchsorted(inside, np.arange(len(y))), 0, len(inside) - 1)
        return y[inside[nearest]]

    @classmethod
    def unary(cls, node: ir.Node, x: QuantParams, result: Result, rule: Rule) -> Operator:
        """One `lut`, whatever the rounding rule: its entries are rounded offline; TFLite's |x| in its own way."""
        if node.op_type == "Abs" and x.type.bits == 8 and rule is Rule.TFLITE:
            return Lut.from_slopes(x, result.params, (-1.0, 1.0), low=result.low, high=result.high)
        return Lut.from_real(x, result.params, lambda v: cls.exactly(node, v), low=result.low, high=result.high)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """The operator of `unary`."""
        x, result = to.operand(cls.computed(node)), to.result(node)
        operator = unary_operator(node, x.quant, result, to.rule)
        assert operator is not None
        to.emit(node, operator, [x], result.value, x.axes)


class Pow(Pointwise):
    """ONNX Pow where one side is a constant number."""

    op_types = ("Pow",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does. A grid has one zero: -0.0 becomes 0.0, whose odd negative powers are +inf."""
        base, exponent = inputs
        assert base is not None and exponent is not None
        return torch.pow(base + 0.0, exponent)

    @classmethod
    def function(cls, node: ir.Node, x: Tensor) -> Tensor:
        base, exponent = (constant(v) for v in node.inputs)
        if exponent is not None:
            return torch.pow(x, float(exponent.reshape(-1)[0]))
        assert base is not None
        return torch.pow(float(base.reshape(-1)[0]), x)

    @classmethod
    def computed(cls, node: ir.Node) -> ir.Value | None:
        """The base, or the exponent."""
        return next(v for v in node.inputs if constant(v) is None)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """As for every function of one value.

        Raises:
            UnsupportedOperatorError: both sides are computed, or the constant has more than one number.
        """
        arrays = [constant(v) for v in node.inputs]
        number = next((a for a in arrays if a is not None), None)
        if number is None or number.size != 1 or rank(cls.computed(node)) != rank(node.outputs[0]):
            got = "a computed one" if number is None else f"one of shape {number.shape}"
            raise UnsupportedOperatorError(
                f"[Pow {node.name!r}] expected a constant number as exponent or base, got {got}; write powers of two "
                "computed values as Log, Mul and Exp"
            )
        return Contract(tuple(Role.ACTIVATION if a is None else Role.OFFLINE for a in arrays), fuses_clamp=True)
