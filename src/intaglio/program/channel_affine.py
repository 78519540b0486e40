"""Multiplication and addition of constants per channel as integers of a depthwise 1x1 convolution, in one rounding.

    y[c] = gain[c] * x[c] + offset[c]

The multiplier of a channel holds its gain, the weight little more than the sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intaglio.number import INT8, INT16, IntType, QuantParams, Rule
from intaglio.program.factors import scale_of, zero_point_of

Vector = NDArray[np.float64]
FINEST = 0.25  # output steps per unit of the accumulator, at most: what the bias is rounded to


@dataclass(frozen=True)
class ChannelAffine:
    """`weight[c] * (x - z_x) + bias[c]` in units of `factor[c]` output steps.

    Args:
        weight: codes of `type`, (C,).
        type: of the weights.
        bias: int64, (C,).
        factor: real, (C,).
    """

    weight: NDArray[np.int64]
    type: IntType
    bias: NDArray[np.int64]
    factor: Vector

    @classmethod
    def from_real(cls, x: QuantParams, y: QuantParams, gain: Vector, offset: Vector, rule: Rule) -> ChannelAffine:
        """Choose weights, biases and factors.

        Args:
            x, y: parameters of input and output, one scale each.
            gain, offset: real, (C,).
            rule: of rounding; under `shift` the factors are powers of two.
        """
        y_scale = scale_of(y)
        steps = gain * scale_of(x) / y_scale
        shift = rule is Rule.SHIFT
        type = INT16 if shift or np.abs(steps).max() > INT8.qmax * FINEST else INT8
        top = min(type.qmax, (1 << 30) // x.type.max_abs_offset(zero_point_of(x)))
        weight, factor = _weights(steps, offset / y_scale, top, shift=shift)
        return cls(weight, type, np.rint(offset / y_scale / factor).astype(np.int64), factor)


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
