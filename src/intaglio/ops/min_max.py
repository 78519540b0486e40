"""Min and Max of one computed value and constants: a clamp by another name, or one with a bound per channel."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, rank, shape
from intaglio.ops.contract import Contract, Joined, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import ending_with
from intaglio.program.operators.clamp_channels import ClampChannels
from intaglio.program.operators.requantize import Requantize


class MinMax(FloatOperator):
    """ONNX Min and Max; everything but one input is a constant number, or one number per channel."""

    op_types = ("Max", "Min")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        pick = torch.maximum if node.op_type == "Max" else torch.minimum
        y = inputs[0]
        assert y is not None
        for x in inputs[1:]:
            assert x is not None
            y = pick(y, x)
        return y

    @classmethod
    def computed(cls, node: ir.Node) -> ir.Value:
        """The one operand that is computed.

        Raises:
            UnsupportedOperatorError: two are, or a constant changes the shape.
        """
        found = [v for v in node.inputs if v is not None and constant(v) is None]
        if len(found) != 1 or shape(found[0]) != shape(node.outputs[0]):
            raise UnsupportedOperatorError(
                f"[{node.op_type} {node.name!r}] expected one computed operand and constant numbers, which make a "
                f"clamp, got {len(found)} computed operands and {len(node.inputs) - len(found)} constants; rewrite it "
                "with Relu or Clip"
            )
        return found[0]

    @classmethod
    def bounds(cls, node: ir.Node) -> tuple[NDArray[np.float64], int | None]:
        """The bounds, (1,) or (C,), and the graph axis along which they lie, None for one bound.

        Raises:
            UnsupportedOperatorError: two computed operands, or constants that differ along several axes.
        """
        full = rank(cls.computed(node))
        pick = np.maximum if node.op_type == "Max" else np.minimum
        start = -math.inf if node.op_type == "Max" else math.inf
        whole = np.full((1,) * full, start)
        for value in node.inputs:
            array = constant(value)
            if array is not None:
                whole = pick(whole, array.astype(np.float64))
        varying = [axis for axis, size in enumerate(whole.shape) if size != 1]
        if len(varying) > 1 or varying == [0]:
            raise UnsupportedOperatorError(
                f"[{node.op_type} {node.name!r}] expected one bound or one per channel, got bounds of shape "
                f"{whole.shape}; rewrite it with Relu or Clip"
            )
        if np.unique(whole).size == 1:
            return whole.reshape(-1)[:1], None
        return whole.reshape(-1), varying[0]

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """One number: fused as a clamp; alone, a requantization onto the clamped range.

        One per channel: a clamp of integers whose input is written on the output's grid where nobody else reads it, so
        that what lies above every bound saturates before.
        """
        bounds, axis = cls.bounds(node)
        roles = tuple(Role.ACTIVATION if constant(v) is None else Role.OFFLINE for v in node.inputs)
        if axis is not None:
            return Contract(roles, Joined())
        number = float(bounds[0])
        return Contract(roles, clamp=(number, math.inf) if node.op_type == "Max" else (-math.inf, number))

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """A `clamp_channels`, or a `requantize` where nothing before it could take the clamp."""
        bounds, axis = cls.bounds(node)
        x, result = to.operand(cls.computed(node)), to.result(node)
        if axis is not None:
            x = to.operand(cls.computed(node), axes=ending_with(x.axes, (axis,)))
        same = x.quant == result.params
        if axis is None or not same:
            operator = Requantize.from_real(x.quant, result.params, rule=to.rule, low=result.low, high=result.high)
            if axis is None:
                to.emit(node, operator, [x], result.value, x.axes)
                return
            x = to.step(node, operator, [x], result.params, x.axes)
        kind = result.params.type
        codes = result.params.quantize(bounds.astype(np.float32)).astype(np.int64)
        ends = {"lower": np.full(codes.shape, kind.qmin), "upper": np.full(codes.shape, kind.qmax)}
        ends["lower" if node.op_type == "Max" else "upper"] = codes
        to.emit(node, ClampChannels(**{k: v.astype(np.int32) for k, v in ends.items()}), [x], result.value, x.axes)
