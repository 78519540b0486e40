"""The factors that LiteRT's kernels compute from a file's scales, compared with those of a Program.

A Program holds integers only: of a weight's scale it has the multiplier of s_x s_w / s_y, with 31 bits. Of all float32,
which have 24, only the scale itself rounds to it; so it is found again, and then checked. A channel of zeros may have a
factor so small that its multiplier is a stand-in that makes everything 0 (`fixedpoint.decompose_multiplier`); any scale
with a factor below LiteRT's smallest does the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ExportError
from intaglio.number import QuantParams, Requantize, Rule
from intaglio.program.factors import scale_of, zero_point_of
from intaglio.program.weighted import Weighted, bounds

_NEIGHBOURS = 8  # of a multiplier that `float_product` may have chosen
_STAND_IN = (1 << 30, 31)  # multiplier and shift
_LARGEST_OF_STAND_IN = 2**31 - 3  # in magnitude; of larger accumulators the stand-in makes 1
_NOTHING = 2.0**-34  # a factor of which LiteRT makes the multiplier 0


def weight_scale(operator: Weighted, x: QuantParams, y: QuantParams) -> NDArray[np.float32]:
    """Find the weight scales, (1,) or (O,), from which LiteRT computes the factors of an operator.

    Raises:
        ExportError: there are none: the weight has zero points or more than 8 bits, or the factor holds more than
            scales.
    """
    if operator.weight_zero_point.any():
        raise ExportError(
            f"expected weights with zero point 0, got {int(np.abs(operator.weight_zero_point).max())}; quantize "
            "weights symmetrically"
        )
    if not operator.weight_type.signed or operator.weight_type.bits > 8 or operator.weight_type.bipolar:
        raise ExportError(f"expected weights of up to 8 bits, signed, got {operator.weight_type}")
    found = operator.requantize
    if found.wide:
        raise ExportError("expected an accumulator of 32 bits, got one of 48")
    stand_in = (found.multiplier == _STAND_IN[0]) & (found.shift == _STAND_IN[1])
    wanted = np.where(stand_in, _NOTHING, found.real)
    bound = bounds(operator.weight, operator.weight_zero_point, operator.bias, x.type, zero_point_of(x))
    if (stand_in & (bound > _LARGEST_OF_STAND_IN)).any():
        raise ExportError("expected a channel whose factor is below 2**-32 to have smaller sums; quantize again")
    scale = np.asarray(wanted * scale_of(y) / scale_of(x), np.float32).reshape(-1)
    factor = scale_of(x) * scale.astype(np.float64) / scale_of(y)
    theirs = Requantize.from_real(factor, Rule.TFLITE)
    away = np.abs(theirs.multiplier.astype(np.int64) - found.multiplier.reshape(-1))
    allowed = _NEIGHBOURS if found.rule is Rule.HALF_AWAY else 0
    if (theirs.shift != found.shift.reshape(-1)).any() or (away > allowed).any():
        raise ExportError(
            "expected a factor that is s_x * s_w / s_y for some scale s_w of float32, got one that holds more than "
            "scales"
        )
    return scale


def same_factor(found: Requantize, factor: float) -> bool:
    """Whether a factor of a Program is the one that a kernel computes for a real factor by gemmlowp's two roundings."""
    theirs = Requantize.from_real(factor, Rule.TFLITE)
    same = found.multiplier == theirs.multiplier and found.shift == theirs.shift
    return found.rule is Rule.TFLITE and bool(np.all(same))
