"""Softmax along the last axis as TFLite defines it for 8 bits.   y[i] = exp(x[i]) / sum_j exp(x[j])

    d[i] = x[i] - max x;  where d[i] < diff_min: y[i] = qmin, and nothing is added to the sum; elsewhere
    e[i] = exp(SRDHM(d[i] << left, multiplier)) in Q0.31            multiplier, left: beta * s_x in Q5.26
    S = sum RoundingDivideByPOT(e[i], 12)                           Q12.19
    y[i] = qmin + RoundingDivideByPOT(SRDHM(1 / S, e[i]), ...)      1 / S by Newton-Raphson

The output's scale is 1/256 and its zero point qmin. Source: TensorFlow Lite, reference_ops::Softmax; gemmlowp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from intaglio.errors import LoweringError
from intaglio.number import INT8, UINT8, IntType, QuantParams
from intaglio.number.fixedpoint import (
    decompose_multiplier,
    floor_log2,
    rounding_divide_by_pot,
    saturate,
    saturating_shift_left,
)
from intaglio.number.fixedpoint import saturating_rounding_doubling_high_multiply as multiply
from intaglio.number.gemmlowp import exp_on_negative_values, one_over_one_plus_x
from intaglio.program.factors import scale_of, zero_point_of
from intaglio.program.field_bounds import INT32_MAX, Bound
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, grid, params


@dataclass(frozen=True, eq=False)
class SoftmaxTflite(Operator):
    """Computes the equation of the module.

    Args:
        multiplier: in [2**30, 2**31).
        left_shift: 0 to 30.
        diff_min: differences below it have exp = 0; not positive.
        out: int8 or uint8.
    """

    kind: ClassVar[str] = "softmax_tflite"

    multiplier: Annotated[int, Bound(1 << 30, INT32_MAX)]
    left_shift: Annotated[int, Bound(0, 30)]
    diff_min: Annotated[int, Bound(-INT32_MAX, 0)]
    out: IntType

    @classmethod
    def from_real(cls, x: QuantParams, y: QuantParams, *, beta: float = 1.0) -> SoftmaxTflite:
        """Derive the integers from quantization parameters, one scale each.

        Raises:
            LoweringError: the output is not on TFLite's grid, or the input's scale is out of range.
        """
        if y.type not in (INT8, UINT8) or scale_of(y) != 1 / 256 or zero_point_of(y) != y.type.qmin or x.type.bits != 8:
            raise LoweringError("softmax (tflite): expected 8 bits, an output scale of 1/256 and zero point qmin")
        real = min(beta * scale_of(x) * 2.0**26, 2.0**31 - 1)
        if real <= 1:
            raise LoweringError(f"softmax (tflite): expected an input scale above 2**-26, got {scale_of(x)}")
        mantissa, exponent = math.frexp(real)
        multiplier = decompose_multiplier(mantissa)[0]
        left = exponent + (1 if math.floor(mantissa * 2.0**31 + 0.5) == 1 << 31 else 0)
        if left > 30:
            raise LoweringError(f"softmax (tflite): expected an input scale below 16, got {scale_of(x)}")
        diff_min = -math.floor(31 * 2.0**26 / 2.0**left)
        return cls(int(multiplier), left, diff_min, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that integers are in range, and that there are at most 4096 elements, whose sum fits 31 bits."""
        self.expect(len(inputs[0]) >= 1 and inputs[0][-1] < 4096, f"expected 1 to 4095 elements, got shape {inputs[0]}")
        # exp is defined down to -32 in Q5.26.
        self.expect(
            -self.diff_min << self.left_shift <= 1 << 31, f"diff_min {self.diff_min} reaches below -32 after the shift"
        )

    def check_types(self, *inputs: IntType) -> None:
        """Check that input and output have 8 bits."""
        self.expect(
            inputs[0] in (INT8, UINT8) and self.out in (INT8, UINT8), f"expected int8 or uint8, got {inputs[0]}"
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        x = inputs[0].astype(np.int64)
        difference = x - x.max(axis=-1, keepdims=True)
        counts = difference >= self.diff_min
        scaled = multiply(
            saturating_shift_left(np.maximum(difference, self.diff_min), self.left_shift), self.multiplier
        )
        e = np.where(counts, exp_on_negative_values(scaled), 0)
        total = np.where(counts, rounding_divide_by_pot(e, 12), 0).sum(axis=-1, keepdims=True)
        headroom = 31 - floor_log2(total)  # leading zeros of the sum, as 32 bits
        scale = one_over_one_plus_x((total << headroom) - (1 << 31))
        y = rounding_divide_by_pot(multiply(scale, e), 12 - headroom + 31 - 8) + self.out.qmin
        return np.where(counts, saturate(y, self.out.qmin, self.out.qmax), self.out.qmin).astype(self.out.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover few and many elements, large and small scales, ties, one element."""
        for type in (INT8, UINT8):
            y = grid(type, 1 / 256, type.qmin)
            for shape in ((2, 10), (3, 1), (2, 2, 1000)):
                for scale in (0.003, 0.02, 0.2, 2.0):
                    yield cls.from_real(params(rng, type, scale=scale), y), (codes(rng, type, shape),)
            yield cls.from_real(params(rng, type), y), (np.full((2, 3), 7, type.dtype),)
