"""From scales and zero points to the integers that operators carry.

Offline: the only floats of this folder are here, in the tables' makers and in the operators' `from_real` factories.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from intaglio.errors import LoweringError
from intaglio.number import QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import MULTIPLIER_BITS


def scale_of(params: QuantParams) -> float:
    """The one scale of a tensor.

    Raises:
        LoweringError: there are several.
    """
    if params.scale.size != 1:
        raise LoweringError(f"expected one scale for the whole tensor, got {params.scale.size} ({params.granularity})")
    return float(params.scale.reshape(-1)[0])


def zero_point_of(params: QuantParams) -> int:
    """The one zero point of a tensor."""
    scale_of(params)
    return int(params.zero_point.reshape(-1)[0])


def clamp_of(y: QuantParams, low: int | None, high: int | None) -> tuple[int, int]:
    """Clamp bounds in output codes: those given, cut to the type, or the type's own.

    Raises:
        LoweringError: nothing is left between them.
    """
    low = y.type.qmin if low is None else min(max(int(low), y.type.qmin), y.type.qmax)
    high = y.type.qmax if high is None else min(max(int(high), y.type.qmin), y.type.qmax)
    if low > high:
        raise LoweringError(f"clamp: expected low <= high, got [{low}, {high}]")
    return low, high


def same_params(x: QuantParams, y: QuantParams) -> bool:
    """Whether codes of x mean the same as codes of y."""
    return x.type.bits == y.type.bits and x.type.signed == y.type.signed and scale_of(x) == scale_of(y) and (
        zero_point_of(x) == zero_point_of(y)
    )  # fmt: skip


def counted(factor: ArrayLike, rule: Rule, *, wide: bool = False) -> Requantize:
    """A factor that holds more than scales (a count, a slope), for operators with `divides`.

    Under the rule `shift` it rounds by `half_up` where it is no power of two.
    """
    if rule is Rule.SHIFT and (np.frexp(np.asarray(factor, np.float64))[0] != 0.5).any():
        rule = Rule.HALF_UP
    return Requantize.from_real(factor, rule, wide=wide)


def tflite_mean(scale: float, count: int) -> Requantize:
    """`scale / count` as TFLite's reference MEAN has it.

        floor(multiplier(scale) * 2**floor(log2 count) / count), whose factor has floor(log2 count) bits more of shift

    Args:
        scale: s_x / s_y.
        count: how many elements each mean is taken of.
    Source: TensorFlow Lite, reference_ops::QuantizedMeanOrSum.
    """
    found = Requantize.from_real(scale, Rule.TFLITE)
    multiplier, shift = int(found.multiplier), int(found.shift)
    more = min(count.bit_length() - 1, 31 - shift)
    # Below 2**29 the shift has reached its end; all results are then 0, with this multiplier too.
    multiplier = max((multiplier << more) // count, 1 << 29)
    return Requantize(np.asarray(multiplier, np.int32), np.asarray(shift + more, np.int32), Rule.TFLITE)


def check_bound(bound: int, *, wide: bool) -> None:
    """Refuse accumulators that may overflow.

    Raises:
        LoweringError: `bound` is too large.
    """
    limit = 1 << (47 if wide else MULTIPLIER_BITS)
    if bound >= limit:
        raise LoweringError(
            f"accumulators may reach {bound}, expected less than 2**{limit.bit_length() - 1}; use fewer bits, a larger "
            "weight scale, or 16-bit activations with the rule half_up, whose accumulators are wide"
        )
