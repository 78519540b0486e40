"""From scales and zero points to the integers that operators carry.

Offline: the only floats of this folder are here, in the tables' makers and in the operators' `from_real` factories.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from intaglio.errors import LoweringError
from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import MULTIPLIER_BITS

WIDE_BITS = 47  # of magnitude: 48-bit sums leave room for the product with a multiplier of 15 bits


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


def tflite_mul_factor(a: QuantParams, b: QuantParams, y: QuantParams) -> float:
    """`s_a * s_b / s_y` as TFLite's MUL computes it: product and quotient are rounded to float32."""
    product = np.float32(scale_of(a)) * np.float32(scale_of(b))
    return float(np.float32(product / np.float32(scale_of(y))))


def tflite_matmul_factor(a: QuantParams, b: QuantParams, y: QuantParams) -> float:
    """`s_a * s_b / s_y` as TFLite's BATCH_MATMUL computes it: the product is rounded to float32.

    Source: TensorFlow Lite, GetQuantizedConvolutionMultipler in kernels/kernel_util.cc.
    """
    return float(np.float32(scale_of(a)) * np.float32(scale_of(b))) / scale_of(y)


def counted(factor: ArrayLike, rule: Rule, *, wide: bool = False) -> Requantize:
    """A factor that holds more than scales (a count, a slope), for operators with `factors_beyond_scales`.

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


def onto_grid(factor: ArrayLike, y: QuantParams) -> tuple[ArrayLike, int]:
    """The factor by which accumulators are multiplied and the zero point that is added, for results with parameters y.

    A bipolar result is the sign of the accumulator, whatever the scales; that of 0 is +1:

        y = clamp(1 + 2 * acc, -1, 1)

    Args:
        factor: output steps per step of the accumulator, () or (C,).
        y: one scale.
    """
    return (np.full(np.shape(factor), 2.0), 1) if y.type.bipolar else (factor, zero_point_of(y))


def default_accumulator(x: IntType, rule: Rule) -> int:
    """Bits of the accumulator where no target says: 64 for inputs of more than 8 bits, but under the rule `tflite`."""
    return 64 if x.bits > 8 and rule is not Rule.TFLITE else 32


def needs_wide(bound: int, accumulator: int) -> bool:
    """Decide whether sums of magnitude up to `bound` need a wide accumulator, and prove that they fit.

    Args:
        bound: the largest |acc| that any input can cause.
        accumulator: bits that the target has, 32 or 64; of 64, sums take 48.
    Returns:
        True where 32 bits do not suffice.
    Raises:
        LoweringError: the sums do not fit.
    """
    if bound < 1 << MULTIPLIER_BITS:
        return False
    bits = WIDE_BITS if accumulator == 64 else MULTIPLIER_BITS
    if bound < 1 << bits:
        return True
    raise LoweringError(
        f"accumulator: expected sums of at most {bits + 1} bits, got up to {bound}, which needs "
        f"{bound.bit_length() + 1}; use fewer bits for weights or inputs, a larger weight scale, or a target with a "
        "wider accumulator"
    )
