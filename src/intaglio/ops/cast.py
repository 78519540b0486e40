"""Change between integers, booleans and real numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, where
from intaglio.graph.integer_inputs import INTEGER_INPUTS
from intaglio.number import INT32, QuantParams
from intaglio.ops.contract import Contract, Fixed, Own, Plain, Role, Same
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.relation import Relation
from intaglio.program.operators.requantize import Requantize

_RANGES = {ir.DataType.BOOL: (0.0, 2.0), ir.DataType.UINT8: (0.0, 256.0), ir.DataType.INT8: (-128.0, 128.0)}
"""Ranges of types that an 8-bit grid holds exactly."""


class Cast(FloatOperator):
    """ONNX Cast from integers and booleans: to float, to boolean, or to a wider integer."""

    op_types = ("Cast",)
    integers = (0,)

    @classmethod
    def to(cls, node: ir.Node) -> ir.DataType:
        """The type of the result."""
        return ir.DataType(int(attribute(node, "to")))

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Whole numbers stay whole; a real number would have to be rounded.

        Raises:
            UnsupportedOperatorError: real numbers to integers.
        """
        x, to = node.inputs[0], cls.to(node)
        assert x is not None
        if x.dtype not in INTEGER_INPUTS and to not in (ir.DataType.FLOAT, ir.DataType.BOOL):
            raise UnsupportedOperatorError(
                f"{where(node)} expected a conversion of integers, got one from {x.dtype} to {to}; compute indices "
                "outside the network, or leave the conversion out"
            )

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Booleans become 0 and 1; in turn, every number but 0 is true."""
        x, to = inputs[0], cls.to(node)
        assert x is not None
        if to == ir.DataType.BOOL:
            return x != 0
        return x.to(torch.float32 if to == ir.DataType.FLOAT else torch.int64)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Real numbers of integers: every code of 8 bits has its place on the grid; the range of others is measured."""
        x, to = node.inputs[0], cls.to(node)
        assert x is not None
        if to != ir.DataType.FLOAT:
            return Contract((Role.ACTIVATION,), Plain() if to == ir.DataType.BOOL else Same(0))
        if x.dtype not in INTEGER_INPUTS:
            return Contract((Role.ACTIVATION,), Same(0))
        return Contract((Role.ACTIVATION,), Fixed(*_RANGES[x.dtype]) if x.dtype in _RANGES else Own())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `requantize` from a scale of 1, one `relation` with 0, or nothing."""
        x, value = to.operand(node.inputs[0]), node.outputs[0]
        kind = cls.to(node)
        if kind == ir.DataType.BOOL:
            code = 0 if x.params is None else int(x.params.quantize(np.zeros((), np.float32)))
            zero = to.integers(f"{node.name}.zero", np.full((1,) * len(x.axes), code), x.axes, INT32)
            to.emit(node, Relation.from_integers(True, False, True), [x, zero], value, x.axes)
            return
        if kind != ir.DataType.FLOAT or x.params is not None:
            to.alias(value, x, x.axes)
            return
        whole, result = QuantParams(x.type, np.ones((), np.float32)), to.result(node)
        if whole == result.params:
            to.alias(value, replace(x, params=whole), x.axes)  # the codes are the numbers
            return
        operator = Requantize.from_real(whole, result.params, rule=to.rule, low=result.low, high=result.high)
        to.emit(node, operator, [x], result.value, x.axes)
