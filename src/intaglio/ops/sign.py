"""The sign of a value: a table over the codes, or one bit where the target has bipolar values.

ONNX's Sign of 0 is 0. A bipolar value has no code for 0: it is +1 there. Behind a product nothing is written before
the sign: the accumulator itself is asked,

    y = clamp(1 + 2 * acc, -1, 1)           acc = 0 -> 1,  acc > 0 -> 1,  acc < 0 -> -1

which is a requantization like any other, with zero point 1 and factor 2. Where a convolution pads a bipolar value with
0, its kernels read 0, which no code stands for and which is exact.

Source: Rastegari et al. 2016, arXiv:1603.05279, section 3.2 (batch norm, sign, convolution).
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir
from torch import Tensor

from intaglio.number import QuantParams, Rule
from intaglio.ops.contract import Contract
from intaglio.ops.float_operator import Result
from intaglio.ops.pointwise import Pointwise
from intaglio.program import Operator
from intaglio.program.operators.requantize import Requantize


class Sign(Pointwise):
    """ONNX Sign."""

    op_types = ("Sign",)

    @classmethod
    def function(cls, node: ir.Node, x: Tensor) -> Tensor:
        """-1, 0 or 1."""
        return x.sign()

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """As for every function of one value; a product that it follows may write it."""
        return dataclasses.replace(super().contract(node), sign=True)

    @classmethod
    def unary(cls, node: ir.Node, x: QuantParams, result: Result, rule: Rule) -> Operator:
        """A requantization to one bit, or a `lut`."""
        if not result.params.type.bipolar:
            return super().unary(node, x, result, rule)
        return Requantize.from_real(x, result.params, rule=rule)
