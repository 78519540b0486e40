"""What convolution, transposed convolution and the dense layer share: weights, a bias, and the proof of both.

    acc[o] = bias[o] + sum_k (x[k] - z_x) * (w[o, k] - z_w[o])            y = clamp(z_y + acc * M[o], low, high)

Bounds are proved per output channel from the weights themselves, in the factories and again by the verifier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from intaglio.errors import LoweringError
from intaglio.number import INT8, IntType, QuantParams, Requantize, Rule
from intaglio.program.factors import clamp_of, default_accumulator, needs_wide, onto_grid, scale_of, zero_point_of
from intaglio.program.field_bounds import Code
from intaglio.program.operator import Ints, Operator, Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighted(Operator):
    """The fields of every operator with weights.

    Args:
        weight: codes of `weight_type`, output channel first.
        weight_zero_point: int32, () or (O,).
        bias: int32 (int64 where the accumulator is wide), (O,): real bias on the grid s_x * s_w[o]; zero points are
            not yet in it.
        x_zero_point, y_zero_point: of input and output.
        requantize: acc to output steps, () or (O,).
        low, high: clamp of the output codes.
        out: type of the output.
        weight_type: of the weights; also says in how many bits a file stores them.
    """

    weight: Ints
    weight_zero_point: Ints
    bias: Ints
    x_zero_point: Code
    y_zero_point: Code
    requantize: Requantize
    low: Code
    high: Code
    out: IntType
    weight_type: IntType = INT8

    def __post_init__(self) -> None:
        """Store the bias as the accumulator's type where it fits; `check` refuses it where it does not."""
        dtype = np.dtype(np.int64 if self.requantize.wide else np.int32)
        if self.bias.dtype.kind in "iu" and self.bias.size and _fits(self.bias, dtype):
            object.__setattr__(self, "bias", self.bias.astype(dtype, copy=False))
        if self.weight_zero_point.dtype.kind in "iu" and _fits(self.weight_zero_point, np.dtype(np.int32)):
            object.__setattr__(self, "weight_zero_point", self.weight_zero_point.astype(np.int32, copy=False))

    def out_type(self, *inputs: IntType) -> IntType:
        """`out`."""
        return self.out

    def check_channels(self, rank: int) -> None:
        """Rank of the weight, and as many biases, multipliers and weight zero points as output channels."""
        self.expect(
            self.weight.ndim == rank and self.weight.size > 0,
            f"expected a weight of {rank} axes, got {self.weight.shape}",
        )
        o = self.weight.shape[0]
        wide = self.requantize.wide
        self.expect(
            self.bias.shape == (o,) and self.bias.dtype == (np.int64 if wide else np.int32),
            f"expected {o} biases of {'int64' if wide else 'int32'}, got {self.bias.shape} of {self.bias.dtype}",
        )
        for name, array in (
            ("multipliers", self.requantize.multiplier),
            ("weight zero points", self.weight_zero_point),
        ):
            self.expect(array.shape in ((), (o,)), f"expected 1 or {o} {name}, got shape {array.shape}")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """`max_o |bias[o]| + sum_k |w[o, k] - z_w[o]| * max |x - z_x|`."""
        return int(bounds(self.weight, self.weight_zero_point, self.bias, types[0], self.x_zero_point).max())

    def centred(self) -> Ints:
        """`w - z_w`, int32."""
        zero_point = self.weight_zero_point.reshape(-1, *[1] * (self.weight.ndim - 1))
        return np.asarray(self.weight.astype(np.int32) - zero_point)

    def finish(self, acc: Ints) -> Ints:
        """Accumulators (..., O), bias included, to output codes."""
        return self.requantize.apply(acc, self.y_zero_point, self.low, self.high, self.out)


def _fits(array: Ints, dtype: np.dtype[Any]) -> bool:
    info = np.iinfo(dtype)
    return bool(info.min <= int(array.min()) and int(array.max()) <= info.max) if array.size else True


def bounds(weight: Ints, weight_zero_point: Ints, bias: Ints, x: IntType, x_zero_point: int) -> Ints:
    """Per output channel, a magnitude that the accumulator never exceeds; int64, (O,)."""
    o = weight.shape[0]
    zero_point = np.broadcast_to(np.asarray(weight_zero_point, np.int32).reshape(-1), (o,))
    sums = np.empty(o, np.int64)
    step = max(1, (1 << 20) // max(1, weight[0].size))  # a few megabytes at a time, however large the layer
    for at in range(0, o, step):
        rows = weight[at : at + step].reshape(-1, math.prod(weight.shape[1:])).astype(np.int32)
        sums[at : at + step] = np.abs(rows - zero_point[at : at + step, None]).sum(axis=1, dtype=np.int64)
    return np.asarray(np.abs(bias.astype(np.int64)) + sums * x.max_abs_offset(x_zero_point))


def weighted_fields(
    x: QuantParams,
    w: QuantParams,
    y: QuantParams,
    weight: Ints,
    bias: Any,
    rule: Rule,
    *,
    low: int | None,
    high: int | None,
    accumulator: int | None,
    gain: float = 1.0,
) -> dict[str, Any]:
    """The fields of `Weighted` from quantization parameters.

    Args:
        x, y: parameters of input and output, one scale each. A bipolar output is the sign of the accumulator, see
            `onto_grid`.
        w: parameters of the weight, 1 or O scales in the order of the output channels (the axis is not looked at).
        weight: codes of w.type, output channel first.
        bias: (O,), real numbers (rounded half to even onto gain * s_x * s_w), integers already on that grid, or None.
        rule: the rounding rule.
        low, high: clamp in output codes; the type's own where None.
        accumulator: bits that the target has, 32 or 64; None: see `default_accumulator`.
        gain: a number by which the products are multiplied.
    Raises:
        LoweringError: a bias does not fit, an accumulator may overflow, a factor is out of range, or scales are
            neither 1 nor O.
    """
    o = weight.shape[0]
    if w.scale.size not in (1, o):
        raise LoweringError(f"weight: expected 1 or {o} scales (one per output channel), got {w.scale.size}")
    if weight.dtype.kind not in "iu" or not w.type.holds(weight):
        raise LoweringError(f"weight: expected codes of {w.type}, got {weight.dtype} {weight.min()} to {weight.max()}")
    shape = (o,) if w.scale.shape == (o,) else ()
    grid = gain * scale_of(x) * w.scale.astype(np.float64).reshape(shape)
    return integer_fields(
        x,
        y,
        weight.astype(w.type.dtype),
        w.zero_point.reshape(shape).astype(np.int32),
        quantize_bias(bias, np.broadcast_to(grid, (o,))),
        grid / scale_of(y),
        rule,
        low=low,
        high=high,
        accumulator=accumulator,
        weight_type=w.type,
    )


def integer_fields(
    x: QuantParams,
    y: QuantParams,
    weight: Ints,
    weight_zero_point: Ints,
    bias: Ints,
    factor: ArrayLike,
    rule: Rule,
    *,
    low: int | None,
    high: int | None,
    accumulator: int | None,
    weight_type: IntType,
) -> dict[str, Any]:
    """The fields of `Weighted` from the integers of weight and bias, and the proof that their sums fit.

    Args:
        weight, weight_zero_point, weight_type: see `Weighted`.
        bias: codes on the accumulator's grid, (O,).
        factor: output steps per step of the accumulator, () or (O,).
        x, y, rule, low, high, accumulator: see `weighted_fields`.
    Raises:
        LoweringError: an accumulator may overflow, or a factor is out of range.
    """
    accumulator = default_accumulator(x.type, rule) if accumulator is None else accumulator
    wide = needs_wide(int(bounds(weight, weight_zero_point, bias, x.type, zero_point_of(x)).max()), accumulator)
    low, high = clamp_of(y, low, high)
    factor, zero_point = onto_grid(factor, y)
    return {
        "weight": weight,
        "weight_zero_point": weight_zero_point,
        "bias": bias,
        "x_zero_point": zero_point_of(x),
        "y_zero_point": zero_point,
        "requantize": Requantize.from_real(factor, rule, wide=wide),
        "low": low,
        "high": high,
        "out": y.type,
        "weight_type": weight_type,
    }


def quantize_bias(bias: Any, grid: Any) -> Ints:
    """A bias on its grid, int64, (O,).

    Raises:
        LoweringError: a bias leaves 47 bits, or is not finite.
    """
    if bias is None:
        return np.zeros(grid.shape, np.int64)
    bias = np.asarray(bias)
    if bias.shape != grid.shape:
        raise LoweringError(f"bias: expected {grid.shape[0]} values, got shape {bias.shape}")
    if bias.dtype.kind in "iu":
        return np.asarray(bias, np.int64)
    steps = np.rint(bias.astype(np.float64) / grid)
    bad = ~(np.abs(steps) < 2.0**47)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise LoweringError(
            f"bias of channel {first}: {bias[first]} needs {steps[first]:.4g} steps of {grid[first]:.4g}, "
            "which no accumulator holds; raise the weight scale of this channel"
        )
    return np.asarray(steps, np.int64)


def products(shape: Shape, weight: Ints) -> int:
    """Multiply-accumulate operations of an output of `shape`."""
    return math.prod(shape) * math.prod(weight.shape[1:])
