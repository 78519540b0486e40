"""Multiplication and addition of constants along one axis, in one rounding.   y[c] = gain[c] * x[c] + offset[c]"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph.access import rank
from intaglio.number import INT8, INT16, Rule
from intaglio.ops.float_operator import Lowering
from intaglio.ops.layout import ending_with
from intaglio.ops.products import largest_offset, product_bound
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.reshape import Reshape

Vector = NDArray[np.float64]
FINEST = 0.25  # output steps per unit of the accumulator, at most: what the bias is rounded to


def lower_affine(node: ir.Node, to: Lowering, axis: int | None, gain: Vector, offset: Vector) -> None:
    """Emit a depthwise 1x1 `conv2d`: the multiplier of a channel holds its gain, the weight little more than the sign.

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
    x, result = to.operand(value, axes=order), to.result(node)
    y_scale, channels = float(result.params.scale), len(gain)
    steps = gain * float(x.quant.scale) / y_scale
    shift = to.rule is Rule.SHIFT
    kind = INT16 if shift or np.abs(steps).max() > INT8.qmax * FINEST else INT8
    top = min(kind.qmax, (1 << 30) // largest_offset(x.quant))
    weight, factor = _weights(steps, offset / y_scale, top, shift=shift)
    bias = np.rint(offset / y_scale / factor).astype(np.int64)
    operator = Conv2d(
        weight=weight.reshape(-1, 1, 1, 1).astype(kind.dtype),
        weight_zero_point=np.zeros((), np.int32),
        bias=bias,
        x_zero_point=int(x.quant.zero_point),
        y_zero_point=result.zero_point,
        requantize=to.requantizer(node, factor, product_bound(weight.reshape(-1, 1), x.quant, bias)),
        low=result.low,
        high=result.high,
        out=result.params.type,
        weight_type=kind,
        groups=channels,
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


def _weights(steps: Vector, offset: Vector, top: int, *, shift: bool) -> tuple[NDArray[np.int64], Vector]:
    """Integer weights and real factors with `weight * factor` close to `steps`, and `offset / factor` below 2**29.

    A free factor takes all of the gain and leaves `top` to the weight, so that the bias has as fine a grid as can be. A
    factor that is a power of two leaves the bits of `top` to the weight. One input step of thousands of output steps
    means that the input is constant: its weight saturates, as the output would.

    Args:
        steps: output steps per input step, (C,).
        offset: in output steps, (C,).
        top: the largest weight.
        shift: whether the factors have to be powers of two.
    """
    smallest = math.ldexp(1.0, -24)  # of channels that are all but dead
    factor = np.minimum(np.maximum(np.abs(steps) / top, smallest), FINEST)
    factor = np.maximum(factor, np.abs(offset) * math.ldexp(1.0, -29))
    if shift:
        factor = np.exp2(np.ceil(np.log2(factor)))
    return np.clip(np.rint(steps / factor), -top, top).astype(np.int64), factor
