"""Layer normalization over the last axis of n elements.   y = (x - mean) / sqrt(variance + eps) * gain + bias

    D[i] = n x[i] - sum x                                   n (x[i] - mean), exact; the zero point cancels
    V = ((n sum x^2 - (sum x)^2) << 2j) + epsilon           n^2 (variance + eps) / s_x^2 in Q(2j), epsilon at least 1
    m = V << 2h in [2**60, 2**62);  r = 2**61 / floor(sqrt(m))                    1 / sqrt(V) = r 2**(h - 61)
    N[i] = rounding (D[i] r) >> max(61 - h - j - p, 0)      the normalized value in Q(p); |N| <= sqrt(n) 2**p
    y = clamp(z_y + (N[i] gain[i] + bias[i]) * M, low, high)

Mean and variance are exact; square root and reciprocal are exact to 2**-30. The gains are 16-bit codes. The shift is
negative only in a row of equal elements, whose D is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.errors import LoweringError
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import floor_log2, integer_sqrt, rounding_shift_right
from intaglio.program.factors import clamp_of, counted, needs_wide, scale_of, zero_point_of
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, params
from intaglio.program.weighted import quantize_bias

GAIN_MAX = (1 << 15) - 1


@dataclass(frozen=True, eq=False)
class LayerNorm(Operator):
    """Computes the equation of the module.

    Args:
        gain: int16, (n,).
        bias: int32 (int64 where `requantize` is wide), (n,), on the grid of N * gain.
        epsilon: an integer of at least 1: n^2 eps / s_x^2 in Q(2j).
        spread: j, 0 to 30: V has 2j fractional bits, as many as fit its 62 bits.
        precision: p, 1 to 16.
        y_zero_point: of the output.
        requantize: M, ().
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "layer_norm"
    factors_beyond_scales: ClassVar[bool] = True

    gain: Ints
    bias: Ints
    epsilon: Annotated[int, Bound(1, (1 << 62) - 1)]
    spread: Annotated[int, Bound(0, 30)]
    precision: Annotated[int, Bound(1, 16)]
    y_zero_point: Code
    requantize: Requantize
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        y: QuantParams,
        gain: ArrayLike,
        bias: ArrayLike | None,
        *,
        epsilon: float,
        rule: Rule,
        low: int | None = None,
        high: int | None = None,
        wide: bool | None = None,
    ) -> LayerNorm:
        """Derive the integers from quantization parameters.

        Args:
            x, y: parameters of input and output, one scale each.
            gain, bias: real, (n,); bias may be None.
            epsilon: real, added to the variance.
            rule, low, high: rounding, and clamp in output codes.
            wide: accumulators of up to 48 bits; None: where 32 bits would lose precision and the rule allows it.
        Raises:
            LoweringError: n or epsilon is too large for 62 bits, or no precision is left within the accumulator.
        """
        gain = np.asarray(gain, np.float64)
        n = gain.size
        exact = n * n * epsilon / scale_of(x) ** 2
        spread = next((j for j in range(30, -1, -1) if _largest(n, x.type, j) + exact * 4.0**j < 1 << 61), None)
        if spread is None or n << x.type.bits > 1 << 31:
            raise LoweringError(f"layer_norm: {n} elements of {x.type} with epsilon {epsilon} exceed 62 bits")
        gain_scale = float(np.abs(gain).max()) / GAIN_MAX or 1.0
        if rule is Rule.SHIFT:
            gain_scale = 2.0 ** math.ceil(math.log2(gain_scale))
        gain_q = np.rint(gain / gain_scale).astype(np.int64)
        want = 10 if y.type.bits <= 8 else 14
        precision, bias_q = _precision(gain_q, bias, gain_scale, 31)
        if wide is None:
            wide = precision < want and rule is not Rule.TFLITE
        if wide:
            precision, bias_q = _precision(gain_q, bias, gain_scale, 47)
        if precision < 4:
            raise LoweringError(
                f"layer_norm: {n} elements leave {precision} bits for the normalized values, expected 4"
            )
        needs_wide(_bound(gain_q, bias_q, precision), 64 if wide else 32)
        low, high = clamp_of(y, low, high)
        return cls(
            gain=gain_q.astype(np.int16),
            bias=bias_q.astype(np.int64 if wide else np.int32),
            epsilon=max(1, round(exact * 4.0**spread)),
            spread=spread,
            precision=precision,
            y_zero_point=zero_point_of(y),
            requantize=counted(2.0**-precision * gain_scale / scale_of(y), rule, wide=wide),
            low=low,
            high=high,
            out=y.type,
        )

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that each element of the last axis has a gain and a bias, and that there is one multiplier."""
        n = self.gain.size
        dtype = np.int64 if self.requantize.wide else np.int32
        self.expect(
            self.gain.dtype == np.int16
            and self.bias.dtype == dtype
            and self.gain.shape == self.bias.shape == inputs[0][-1:],
            f"expected {inputs[0][-1:]} gains (int16) and biases ({np.dtype(dtype)}), "
            f"got {self.gain.shape} and {self.bias.shape}",
        )
        self.expect(n >= 1, "expected at least one element")
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")

    def check_types(self, *inputs: IntType) -> None:
        """Check that V fits 62 bits."""
        n, bits = self.gain.size, inputs[0].bits
        self.expect(
            bits <= 16 and n << bits <= 1 << 31 and _largest(n, inputs[0], self.spread) + self.epsilon < 1 << 62,
            f"{n} elements of {inputs[0]} exceed 62 bits",
        )

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the accumulator by the largest `|gain| * sqrt(n) * 2**p + |bias|`."""
        return _bound(self.gain.astype(np.int64), self.bias.astype(np.int64), self.precision)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        x = inputs[0].astype(np.int64)
        n = x.shape[-1]
        total = x.sum(axis=-1, keepdims=True)
        deviation = n * x - total
        variance = ((n * (x * x).sum(axis=-1, keepdims=True) - total * total) << (2 * self.spread)) + self.epsilon
        half = (61 - floor_log2(variance)) >> 1
        reciprocal = (np.int64(1) << 61) // integer_sqrt(variance << (2 * half))
        right = np.maximum(61 - half - self.spread - self.precision, 0)
        normal = rounding_shift_right(deviation * reciprocal, right)
        return self.requantize.apply(normal * self.gain + self.bias, self.y_zero_point, self.low, self.high, self.out)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover few and many elements, constant rows, extremes, and every rule."""
        for n in (1, 3, 64, 768):
            for rule, type in (
                (Rule.HALF_UP, UINT8),
                (Rule.TFLITE, INT8),
                (Rule.SHIFT, INT8),
                (Rule.HALF_UP, INT16),
                (Rule.HALF_EVEN, UINT8),
            ):
                x, y = params(rng, type, rule), params(rng, type, rule, 10.0 / (1 << type.bits))
                gain, bias = rng.uniform(-1, 2, n), rng.uniform(-1, 1, n)
                operator = cls.from_real(x, y, gain, None if n == 3 else bias, epsilon=1e-5, rule=rule)
                data = codes(rng, type, (2, 4, n))
                data[0, 0], data[0, 1] = type.qmax, type.qmin
                data[1, 0, :] = type.qmin
                data[1, 0, 0] = type.qmax
                yield operator, (data,)


def _largest(n: int, type: IntType, spread: int) -> int:
    """Compute the largest V without epsilon: half of the elements at each end of the type."""
    return n * n << 2 * type.bits - 2 + 2 * spread


def _bound(gain: NDArray[np.int64], bias: NDArray[np.int64], precision: int) -> int:
    # One element holds at most (n - 1) / n of the sum of squares, so |N| < sqrt(n) 2**p, and 1 for rounding.
    largest = ((math.isqrt(gain.size) + 1) << precision) + 1
    return int((np.abs(gain) * largest + np.abs(bias)).max())


def _precision(gain: NDArray[np.int64], bias: ArrayLike | None, gain_scale: float, bits: int) -> tuple[int, Ints]:
    """Find the largest p up to 16 that keeps accumulators below 2**bits (0 if none), and the bias on its grid."""
    for precision in range(16, 0, -1):
        codes = quantize_bias(bias, np.full(gain.shape, 2.0**-precision * gain_scale))
        if _bound(gain, codes, precision) < 1 << bits:
            return precision, codes
    return 0, np.zeros(gain.shape, np.int64)
