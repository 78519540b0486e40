"""Every function of one value, as a table.   y = f(x)

Inputs of 8 bits and less: one entry for each of the 2**bits codes, made offline in float64. Inputs of 16 bits: a table
with linear interpolation.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, input_value, rank
from intaglio.ops.contract import Contract, Fixed, Own, Role
from intaglio.ops.functions import FUNCTIONS, RANGES, STEPS
from intaglio.ops.operator import FloatOperator, Lowering


class Pointwise(FloatOperator):
    """ONNX operators of one input that work element by element, and have attributes only."""

    op_types = tuple(FUNCTIONS)

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
        x = inputs[list(node.inputs).index(cls.computed(node))]
        assert x is not None
        return cls.function(node, x)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A range known from mathematics, or measured. A clamp behind it goes into the table."""
        known = RANGES.get(node.op_type)
        return Contract((Role.ACTIVATION,), Own() if known is None else Fixed(*known), fuses_clamp=True)

    @classmethod
    def exactly(cls, node: ir.Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """f(x) in float64, for tables."""
        return cls.function(node, torch.as_tensor(x)).numpy()


class Pow(Pointwise):
    """ONNX Pow where one side is a constant number."""

    op_types = ("Pow",)

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
                f"[Pow {node.name!r}] expected a constant number as exponent or base, got {got}; powers of two computed "
                "values are not supported"
            )
        return Contract(tuple(Role.ACTIVATION if a is None else Role.OFFLINE for a in arrays), fuses_clamp=True)
