"""Average pool over channels-last images.

    acc[n,i,j,c] = sum_{u,v} (x[n, i*s+u*d-p, j*s+v*d-p, c] - z_x)           padding adds nothing
    y = clamp(z_y + acc * M[i,j], low, high)                                 M = s_x / (s_y count[i,j])

Without `requantize` (rule `tflite`, equal scales and zero points) it is TFLite's own integer division:

    total = acc + count * z_x                                                the sum of the codes themselves
    y = clamp((total + sign(total) * count / 2) / count, low, high)          C division: ties away from zero

Source of the latter: TensorFlow Lite, reference_integer_ops::AveragePool.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import saturate
from intaglio.program.factors import clamp_of, counted, needs_wide, same_params, scale_of, zero_point_of
from intaglio.program.field_bounds import Amount, Code, Count
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, params
from intaglio.program.windows import Pair, Window


@dataclass(frozen=True, eq=False)
class AveragePool2d(Operator):
    """Computes the equation of the module.

    Args:
        kernel, strides, dilations: (vertical, horizontal).
        pads: (top, left, bottom, right).
        counts: int32, () or (H', W', 1): the number by which the sum at each position is divided.
        x_zero_point, y_zero_point: of input and output.
        requantize: factor from acc to output steps, with the shape of `counts`; None: TFLite's division.
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "average_pool2d"
    factors_beyond_scales: ClassVar[bool] = True

    kernel: tuple[Count, ...]
    strides: tuple[Count, ...]
    dilations: tuple[Count, ...]
    pads: tuple[Amount, ...]
    counts: Ints
    x_zero_point: Code
    y_zero_point: Code
    requantize: Requantize | None
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        y: QuantParams,
        *,
        input_shape: Pair,
        kernel: Pair,
        strides: Pair = (1, 1),
        dilations: Pair = (1, 1),
        pads: Pair = (0, 0, 0, 0),
        extra: Pair = (0, 0),
        count_include_pad: bool = False,
        rule: Rule,
        low: int | None = None,
        high: int | None = None,
    ) -> AveragePool2d:
        """Derive the integers from quantization parameters, one scale each.

        Args:
            x, y: parameters.
            input_shape: (H, W) of the image.
            kernel, strides, dilations, pads: of the window.
            extra: (bottom, right) padding that `ceil_mode` adds after `pads`; it is never counted.
            count_include_pad: count the elements of `pads` too.
            rule: the rounding rule; `tflite` with equal scales and zero points gives TFLite's division.
            low, high: clamp in output codes.
        Raises:
            LoweringError: a factor is out of range.
        """
        full = (pads[0], pads[1], pads[2] + extra[0], pads[3] + extra[1])
        counts = _counts(input_shape, Window(kernel, strides, dilations, full), extra, include=count_include_pad)
        if (counts == counts[0, 0]).all():
            counts = counts[0, 0, 0]
        needs_wide(math.prod(kernel) * x.type.max_abs_offset(zero_point_of(x)), 32)
        divide = rule is Rule.TFLITE and same_params(x, y)
        low, high = clamp_of(y, low, high)
        return cls(
            kernel=kernel,
            strides=strides,
            dilations=dilations,
            pads=full,
            counts=np.asarray(counts, np.int32),
            x_zero_point=zero_point_of(x),
            y_zero_point=zero_point_of(y),
            requantize=None if divide else counted(scale_of(x) / scale_of(y) / np.maximum(counts, 1), rule),
            low=low,
            high=high,
            out=y.type,
        )

    @property
    def window(self) -> Window:
        """Return the window that moves over the image."""
        return Window(self.kernel, self.strides, self.dilations, self.pads)

    def shape(self, *inputs: Shape) -> Shape:
        """(N, H, W, C) to (N, H', W', C)."""
        n, h, w, c = inputs[0]
        return (n, *self.window.out(h, w), c)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that the window fits, and that counts and multipliers are one or one for each position."""
        self.window.check(self, inputs[0])
        per_position = (*self.shape(*inputs)[1:3], 1)
        self.expect(
            self.counts.dtype == np.int32 and self.counts.shape in ((), per_position)
            and self.counts.min() >= 1 and self.counts.max() <= math.prod(self.kernel),
            f"expected int32 counts of shape () or {per_position} from 1 to {math.prod(self.kernel)}",
        )  # fmt: skip
        if self.requantize is not None:
            got = self.requantize.multiplier.shape
            self.expect(got in ((), per_position), f"expected 1 multiplier or {per_position}, got {got}")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the sum by `kh * kw` times the largest code, with and without its zero point."""
        return math.prod(self.kernel) * max(types[0].max_abs_offset(self.x_zero_point), types[0].max_abs_offset())

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output, (N, H', W', C)."""
        windows = self.window.view(inputs[0], self.x_zero_point)
        acc = np.zeros_like(windows[:, :, :, 0, 0], np.int64)
        for u in range(self.kernel[0]):
            for v in range(self.kernel[1]):
                acc += windows[:, :, :, u, v]
        acc -= math.prod(self.kernel) * self.x_zero_point
        if self.requantize is not None:
            return self.requantize.apply(acc, self.y_zero_point, self.low, self.high, self.out)
        counts = self.counts.astype(np.int64)
        total = acc + counts * self.x_zero_point
        quotient = np.sign(total) * ((np.abs(total) + counts // 2) // counts)
        return saturate(quotient, self.low, self.high, self.out.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover padding that is counted, not counted, and added by ceil_mode; equal and other parameters; extremes."""
        windows = [
            ((2, 2), (2, 2), (0, 0, 0, 0), (0, 0)),
            ((3, 3), (1, 2), (1, 1, 1, 1), (0, 1)),
            ((7, 6), (1, 1), (0,) * 4, (0, 0)),
        ]
        for kernel, strides, pads, extra in windows:
            for rule, type in ((Rule.HALF_UP, UINT8), (Rule.TFLITE, INT8), (Rule.SHIFT, INT8), (Rule.HALF_UP, INT16)):
                for include in (False, True):
                    x = params(rng, type, rule)
                    yield (
                        cls.from_real(
                            x,
                            x if include else params(rng, type, rule),
                            input_shape=(7, 6),
                            kernel=kernel,
                            strides=strides,
                            pads=pads,
                            extra=extra,
                            count_include_pad=include,
                            rule=rule,
                        ),
                        (codes(rng, type, (2, 7, 6, 3), extreme=include),),
                    )


def _counts(image: Pair, window: Window, extra: Pair, *, include: bool) -> Ints:
    """Count the elements of the window at each position, int64, (H', W', 1)."""
    axes = []
    for axis, size in enumerate(window.out(*image)):
        taps = np.arange(window.kernel[axis]) * window.dilations[axis] - window.pads[axis]
        rows = np.arange(size)[:, None] * window.strides[axis] + taps
        first, last = (
            (-window.pads[axis], image[axis] + window.pads[axis + 2] - extra[axis]) if include else (0, image[axis])
        )
        axes.append(((rows >= first) & (rows < last)).sum(axis=1))
    return np.asarray(np.outer(axes[0], axes[1])[:, :, None], np.int64)
