"""Transposed convolution over channels-last images.

    acc[n, i*s + u*d - top, j*s + v*d - left, o] += (x[n,i,j,c] - z_x) * (w[o,u,v,c] - z_w[o])     on top of bias[o]
    y = clamp(z_y + acc * M[o], low, high)

Output positions that no weight reaches get the bias alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Rule, exact_matmul
from intaglio.program.field_bounds import Amount, Count
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, grid, params
from intaglio.program.weighted import Weighted, weighted_fields
from intaglio.program.windows import Pair


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvTranspose2d(Weighted):
    """Computes the equation of the module. The other fields are those of `Weighted`; in one dimension the height is 1.

    Args:
        weight: (O, kh, kw, I/groups), codes of `weight_type`: output channel first, unlike ONNX's (I, O/groups, ...).
            Group g reads input channels g * I/groups onwards and makes output channels g * O/groups onwards.
        strides, dilations: (vertical, horizontal).
        pads: (top, left, bottom, right): how much is cut off the result.
        output_padding: (bottom, right): how much is added at the end.
        groups: I and O are divided into this many independent parts.
    """

    kind: ClassVar[str] = "conv_transpose2d"

    strides: tuple[Count, ...] = (1, 1)
    dilations: tuple[Count, ...] = (1, 1)
    pads: tuple[Amount, ...] = (0, 0, 0, 0)
    output_padding: tuple[Amount, ...] = (0, 0)
    groups: Count = 1

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        w: QuantParams,
        y: QuantParams,
        weight: Ints,
        bias: Any,
        rule: Rule,
        *,
        strides: Pair = (1, 1),
        dilations: Pair = (1, 1),
        pads: Pair = (0, 0, 0, 0),
        output_padding: Pair = (0, 0),
        groups: int = 1,
        low: int | None = None,
        high: int | None = None,
        accumulator: int | None = None,
    ) -> ConvTranspose2d:
        """Derive the integers from quantization parameters; see `weighted_fields` for those and the errors.

        Args:
            weight: codes of w.type, (O, kh, kw, I/groups); several scales of w are in the order of O.
        """
        fields = weighted_fields(x, w, y, weight, bias, rule, low=low, high=high, accumulator=accumulator)
        return cls(
            **fields, strides=strides, dilations=dilations, pads=pads, output_padding=output_padding, groups=groups
        )

    def shape(self, *inputs: Shape) -> Shape:
        """(N, H, W, I) to (N, H', W', O)."""
        n, h, w, _ = inputs[0]
        rows, columns = self._canvas(h, w)
        top, left, bottom, right = self.pads
        return (n, rows - top - bottom, columns - left - right, self.weight.shape[0])

    def _canvas(self, height: int, width: int) -> tuple[int, int]:
        """Compute the shape of the result before the pads are cut off."""
        rows, columns = (
            (n - 1) * s + (k - 1) * d + 1 + extra
            for n, s, k, d, extra in zip(
                (height, width), self.strides, self.weight.shape[1:3], self.dilations, self.output_padding, strict=True
            )
        )
        return rows, columns

    def check(self, *inputs: Shape) -> None:
        """Check that weights, bias and multipliers have the same channels, and that the result is not empty."""
        self.check_channels(4)
        self.expect(
            len(self.strides) == len(self.dilations) == len(self.output_padding) == 2 and len(self.pads) == 4,
            f"expected two strides, dilations and output paddings and four pads, got {self.strides}, "
            f"{self.dilations}, {self.output_padding}, {self.pads}",
        )
        o, _, _, channels = self.weight.shape
        self.expect(
            len(inputs[0]) == 4 and channels * self.groups == inputs[0][-1] and o % self.groups == 0,
            f"weight {self.weight.shape} in {self.groups} groups does not fit an input of shape {inputs[0]}",
        )
        canvas = math.prod(self._canvas(*inputs[0][1:3])) * o
        self.expect(canvas < 1 << 29, f"the result spans {canvas} elements before it is cut, expected less than 2**29")
        self.expect(min(self.shape(*inputs)) >= 1, f"pads {self.pads} leave nothing of an input of shape {inputs[0]}")

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output, (N, H', W', O)."""
        return self.finish(self.accumulate(inputs[0]))

    def accumulate(self, x: Ints) -> Ints:
        """Compute the accumulators, (N, H', W', O), int32 or int64."""
        weight = self.centred()
        steps = x.astype(np.int32) - np.int32(self.x_zero_point)
        n, h, w, _ = x.shape
        dtype = np.dtype(np.int64 if self.requantize.wide else np.int32)
        canvas = np.zeros_like(steps, dtype, shape=(n, *self._canvas(h, w), weight.shape[0]))
        outputs, each = weight.shape[0] // self.groups, weight.shape[3]
        for u in range(weight.shape[1]):
            for v in range(weight.shape[2]):
                tap = weight[:, u, v]
                if each == 1 and self.groups > 1:
                    product = steps.repeat(outputs, axis=-1).astype(dtype) * tap[:, 0].astype(dtype)
                else:
                    parts = [
                        exact_matmul(steps[..., g * each : (g + 1) * each], tap[g * outputs : (g + 1) * outputs].T)
                        for g in range(self.groups)
                    ]
                    product = np.concatenate(parts, axis=-1).astype(dtype)
                top, left = u * self.dilations[0], v * self.dilations[1]
                bottom, right = top + (h - 1) * self.strides[0] + 1, left + (w - 1) * self.strides[1] + 1
                canvas[:, top : bottom : self.strides[0], left : right : self.strides[1]] += product
        _, rows, columns, _ = self.shape(x.shape)
        cut = canvas[:, self.pads[0] : self.pads[0] + rows, self.pads[1] : self.pads[1] + columns]
        return cut + self.bias.astype(dtype)

    def macs(self, *inputs: Shape) -> int:
        """Count the products of one run."""
        return math.prod(inputs[0][:3]) * self.weight.size

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover strides, dilations, pads, output padding, groups (depthwise too), extremes."""
        cases = [(1, 3, 5, 3, 0), (1, 8, 4, 1, 0), (4, 4, 8, 3, 0), (2, 6, 4, 2, 0), (1, 16, 3, 4, 1)]
        for groups, channels, outputs, size, extreme in cases:
            for rule, type in (
                (Rule.HALF_UP, UINT8),
                (Rule.TFLITE, INT8),
                (Rule.SHIFT, INT8),
                (Rule.HALF_UP, INT16),
                (Rule.HALF_EVEN, UINT8),
            ):
                x, y = params(rng, type, rule, symmetric=type is INT16), params(rng, type, rule, 0.5)
                w = grid(IntType(4) if groups == 2 else INT8, 2.0**-5)
                if rule is Rule.HALF_UP:
                    w = grid(UINT8, rng.uniform(0.01, 0.05, outputs), 128)
                strides = (int(rng.integers(1, 4)), int(rng.integers(1, 3)))
                yield (
                    cls.from_real(
                        x,
                        w,
                        y,
                        codes(rng, w.type, (outputs, size, size, channels // groups), extreme=bool(extreme)),
                        rng.uniform(-1, 1, outputs),
                        rule,
                        strides=strides,
                        dilations=(int(rng.integers(1, 3)), 1),
                        pads=tuple(int(p) for p in rng.integers(0, 2, 4)),
                        output_padding=(strides[0] - 1, 0),
                        groups=groups,
                    ),
                    (codes(rng, type, (2, 4, 3, channels), extreme=bool(extreme)),),
                )
