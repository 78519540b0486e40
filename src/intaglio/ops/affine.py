"""Multiplication and addition of constants along one axis, in one rounding.   y[c] = gain[c] * x[c] + offset[c]"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph.access import rank
from intaglio.ops.float_operator import Lowering
from intaglio.ops.layout import ending_with
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.reshape import Reshape

Vector = NDArray[np.float64]


def lower_affine(node: ir.Node, to: Lowering, axis: int | None, gain: Vector, offset: Vector) -> None:
    """Emit a depthwise 1x1 `conv2d`, over x seen as an image whose last axis is that of the constants.

    Args:
        node: its first input is x.
        to: the lowering.
        axis: graph axis along which the constants lie; None for one number each.
        gain, offset: real, (C,) or (1,).
    """
    value = node.inputs[0]
    order = to.operand(value).axes
    if axis is not None and rank(value) > 1:
        order = ending_with(order, (axis,))
    x, result, channels = to.operand(value, axes=order), to.result(node), len(gain)
    operator = Conv2d.from_affine(
        x.quant,
        result.params,
        gain,
        offset,
        to.rule,
        low=result.low,
        high=result.high,
        accumulator=to.accumulator,
    )
    if len(x.shape) == 4 and x.shape[-1] == channels:
        to.emit(node, operator, [x], result.value, order)
        return
    lead: tuple[int, ...] = ()
    if len(order) > 1:
        lead = (to.leading(x.shape[0]) if order[0] == 0 else x.shape[0],)
    rest = x.shape[len(lead) :]
    image = Reshape(to=(*(lead or (1,)), 1, math.prod(rest) // channels, channels))
    y = to.step(node, operator, [to.step(node, image, [x], x.params)], result.params)
    to.emit(node, Reshape(to=(*lead, *rest)), [y], result.value, order)
