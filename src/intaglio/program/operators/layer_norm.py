"""Normalization of n elements.   y = (x - mean) / sqrt(variance + eps) * gain + bias

    S = sum x,  m = floor(S / n),  R = S - n m               without mean: m = z_x, R = 0
    d[i] = x[i] - m;  D[i] = n d[i] - R                      n (x[i] - mean), exact; the zero point cancels
    V = ((n sum d^2 - R^2) << 2j) + epsilon                  n^2 (variance + eps) / s_x^2 in Q(2j), epsilon at least 1
    v = V << 2h in [2**60, 2**62);  r = 2**61 / floor(sqrt(v))                    1 / sqrt(V) = r 2**(h - 61)
    N[i] = rounding (D[i] r) >> max(61 - h - j - p, 0)       the normalized value in Q(p); |N| <= sqrt(n) 2**p
    y = clamp(z_y + (N[i] gain[i] + bias[i]) * M, low, high)

Layer, RMS and L2 normalization: n elements of the last axis, a gain and a bias each. Instance and group normalization:
also over `inner` axes before it, and over a part of the last axis, whose elements have the gains and biases.

Mean and variance are exact; square root and reciprocal are exact to 2**-30. The gains are 16-bit codes. The shift is
negative only in a row of equal elements, whose D is 0. Where n is so large that V would exceed 62 bits even with j = 0,
j is negative: D loses -j bits, rounded, and V 2 (-j) bits, floored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.errors import LoweringError
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import floor_log2, integer_sqrt, rounding_shift_right
from intaglio.program.factors import clamp_of, counted, needs_wide, scale_of, zero_point_of
from intaglio.program.field_bounds import MAX_RANK, Bound, Code, Count
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, params
from intaglio.program.weighted import quantize_bias

GAIN_MAX = (1 << 15) - 1
_LEAST_SPREAD = -16


@dataclass(frozen=True, eq=False)
class LayerNorm(Operator):
    """Computes the equation of the module.

    Args:
        gain: int16, one for each element of the last axis.
        bias: int32 (int64 where `requantize` is wide), as many, on the grid of N * gain.
        epsilon: an integer of at least 1: n^2 eps / s_x^2 in Q(2j).
        spread: j, -16 to 30: V has 2j fractional bits, as many as fit its 62 bits.
        precision: p, 1 to 16.
        y_zero_point: of the output.
        requantize: M, ().
        low, high: clamp of the output codes.
        out: type of the output.
        x_zero_point: of an input whose mean is not taken off; None where it is.
        inner: how many axes before the last one are normalized together with it; None for none.
        groups: parts of the last axis that are normalized apart; None for one.
    """

    kind: ClassVar[str] = "layer_norm"
    factors_beyond_scales: ClassVar[bool] = True

    gain: Ints
    bias: Ints
    epsilon: Annotated[int, Bound(1, (1 << 62) - 1)]
    spread: Annotated[int, Bound(_LEAST_SPREAD, 30)]
    precision: Annotated[int, Bound(1, 16)]
    y_zero_point: Code
    requantize: Requantize
    low: Code
    high: Code
    out: IntType
    x_zero_point: Code | None = None
    inner: Annotated[int, Bound(1, MAX_RANK - 1)] | None = None
    groups: Count | None = None

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
        centred: bool = True,
        inner: tuple[int, ...] = (),
        groups: int = 1,
    ) -> LayerNorm:
        """Derive the integers from quantization parameters.

        Args:
            x, y: parameters of input and output, one scale each.
            gain, bias: real, one for each element of the last axis; bias may be None.
            epsilon: real, added to the variance.
            rule, low, high: rounding, and clamp in output codes.
            wide: accumulators of up to 48 bits; None: where 32 bits would lose precision and the rule allows it.
            centred: whether the mean is taken off.
            inner: sizes of the axes before the last one that are normalized together with it.
            groups: parts of the last axis that are normalized apart.
        Raises:
            LoweringError: n or epsilon is too large for 62 bits, or no precision is left within the accumulator.
        """
        gain = np.asarray(gain, np.float64)
        n = gain.size // groups * math.prod(inner)
        x_zero_point = None if centred else zero_point_of(x)
        exact = n * n * epsilon / scale_of(x) ** 2
        fitting = (j for j in range(30, _LEAST_SPREAD - 1, -1) if _fits(n, x.type, x_zero_point, j, exact * 4.0**j, 61))
        spread = next(fitting, None)
        if spread is None:
            raise LoweringError(f"layer_norm: {n} elements of {x.type} with epsilon {epsilon} exceed 62 bits")
        gain_scale = float(np.abs(gain).max()) / GAIN_MAX or 1.0
        if rule is Rule.SHIFT:
            gain_scale = 2.0 ** math.ceil(math.log2(gain_scale))
        gain_q = np.rint(gain / gain_scale).astype(np.int64)
        want = 10 if y.type.bits <= 8 else 14
        precision, bias_q = _precision(gain_q, bias, gain_scale, n, 31)
        if wide is None:
            wide = precision < want and rule is not Rule.TFLITE
        if wide:
            precision, bias_q = _precision(gain_q, bias, gain_scale, n, 47)
        if precision < 4:
            raise LoweringError(
                f"layer_norm: {n} elements leave {precision} bits for the normalized values, expected 4"
            )
        needs_wide(_bound(gain_q, bias_q, n, precision), 64 if wide else 32)
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
            x_zero_point=x_zero_point,
            inner=len(inner) or None,
            groups=None if groups == 1 else groups,
        )

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that each element of the last axis has a gain and a bias, and that there is one multiplier."""
        dtype = np.int64 if self.requantize.wide else np.int32
        self.expect(
            self.gain.dtype == np.int16
            and self.bias.dtype == dtype
            and self.gain.shape == self.bias.shape == inputs[0][-1:],
            f"expected {inputs[0][-1:]} gains (int16) and biases ({np.dtype(dtype)}), "
            f"got {self.gain.shape} and {self.bias.shape}",
        )
        self.expect(self.gain.size >= 1, "expected at least one element")
        self.expect(self.gain.size % (self.groups or 1) == 0, f"{self.gain.size} elements in {self.groups} groups")
        self.expect(len(inputs[0]) > (self.inner or 0), f"{self.inner} axes before the last one of {inputs[0]}")
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the accumulator by the largest `|gain| * sqrt(n) * 2**p + |bias|`; also checks that V fits 62 bits."""
        n = self._count(shapes[0])
        self.expect(
            types[0].bits <= 16 and _fits(n, types[0], self.x_zero_point, self.spread, self.epsilon, 62),
            f"{n} elements of {types[0]} exceed 62 bits",
        )
        return _bound(self.gain.astype(np.int64), self.bias.astype(np.int64), n, self.precision)

    def largest_normal(self, shape: Shape) -> int:
        """Bound |N| of the elements of an input of this shape."""
        return _largest(self._count(shape), self.precision)

    def _count(self, shape: Shape) -> int:
        """Count the elements that are normalized together."""
        inner = self.inner or 0
        return math.prod(shape[len(shape) - 1 - inner :]) // (self.groups or 1)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        shape, groups, n = inputs[0].shape, self.groups or 1, self._count(inputs[0].shape)
        gain, bias = (v.astype(np.int64).reshape(groups, -1) for v in (self.gain, self.bias))
        x = inputs[0].astype(np.int64).reshape(*shape[: len(shape) - 1 - (self.inner or 0)], -1, *gain.shape)
        over = (-3, -1)
        total = x.sum(axis=over, keepdims=True)
        mean = total // n if self.x_zero_point is None else np.int64(self.x_zero_point)
        rest = total - n * mean if self.x_zero_point is None else np.int64(0)
        x -= mean
        squares = (x * x).sum(axis=over, keepdims=True)
        if self.spread >= 0:
            variance = ((n * squares - rest * rest) << (2 * self.spread)) + self.epsilon
        else:
            less = -2 * self.spread
            part = (n * (squares & ((1 << less) - 1)) - rest * rest) >> less
            variance = n * (squares >> less) + part + self.epsilon
        half = (61 - floor_log2(variance)) >> 1
        reciprocal = (np.int64(1) << 61) // integer_sqrt(variance << (2 * half))
        right = np.maximum(61 - half - max(self.spread, 0) - self.precision, 0)
        deviation = rounding_shift_right(n * x - rest, max(-self.spread, 0))
        normal = rounding_shift_right(deviation * reciprocal, right)
        y = self.requantize.apply(normal * gain + bias, self.y_zero_point, self.low, self.high, self.out)
        return y.reshape(shape)

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
        forms = [(False, (), 24, 1), (True, (7, 5), 6, 6), (True, (4,), 12, 3), (False, (3, 3), 4, 2)]
        forms += [(True, (40, 41), 1, 1), (True, (23, 25), 70, 35), (True, (32, 17), 72, 1)]
        for centred, inner, channels, groups in forms:
            for rule, type in ((Rule.HALF_UP, UINT8), (Rule.TFLITE, INT8), (Rule.SHIFT, INT8), (Rule.HALF_UP, INT16)):
                x, y = params(rng, type, rule), params(rng, type, rule, 10.0 / (1 << type.bits))
                gain, offset = rng.uniform(-1, 2, channels), rng.uniform(-1, 1, channels) if centred else None
                operator = cls.from_real(
                    x, y, gain, offset, epsilon=1e-5, rule=rule, centred=centred, inner=inner, groups=groups
                )
                data = codes(rng, type, (2, *inner, channels))
                data[0, ..., 0] = type.qmin
                yield operator, (data,)
                if inner and type.bits > 8:  # as for images of a million elements
                    fewer = replace(operator, spread=-2, epsilon=1)
                    yield fewer, (codes(rng, type, data.shape, extreme=True),)


def _fits(n: int, type: IntType, x_zero_point: int | None, spread: int, epsilon: float, bits: int) -> bool:
    """Tell whether D fits 32 bits, V with this epsilon `bits`, and the sums of squares 62."""
    if x_zero_point is None:  # half of the elements at each end of the type
        largest = n * n << 2 * type.bits - 2
    else:
        largest = (n * type.max_abs_offset(x_zero_point)) ** 2
    scaled = largest << 2 * spread if spread >= 0 else largest >> -2 * spread
    deviation = n << type.bits >> max(-spread, 0)
    return scaled + epsilon < 1 << bits and deviation <= 1 << 31 and n <= 1 << 30


def _largest(n: int, precision: int) -> int:
    """Bound |N|: one element holds at most (n - 1) / n of the sum of squares, so |N| < sqrt(n) 2**p; 1 for rounding."""
    return ((math.isqrt(n) + 1) << precision) + 1


def _bound(gain: NDArray[np.int64], bias: NDArray[np.int64], n: int, precision: int) -> int:
    return int((np.abs(gain) * _largest(n, precision) + np.abs(bias)).max())


def _precision(
    gain: NDArray[np.int64], bias: ArrayLike | None, gain_scale: float, n: int, bits: int
) -> tuple[int, Ints]:
    """Find the largest p up to 16 that keeps accumulators below 2**bits (0 if none), and the bias on its grid."""
    for precision in range(16, 0, -1):
        codes = quantize_bias(bias, np.full(gain.shape, 2.0**-precision * gain_scale))
        if _bound(gain, codes, n, precision) < 1 << bits:
            return precision, codes
    return 0, np.zeros(gain.shape, np.int64)
