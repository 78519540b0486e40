"""Convolution over channels-last images.

    acc[n,i,j,o] = bias[o] + sum_{u,v,c} (x[n, i*s+u*d-p, j*s+v*d-p, c] - z_x) * (w[o,u,v,c] - z_w[o])
    y = clamp(z_y + acc * M[o], low, high)

Padding elements are z_x, which is real 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.number import BIPOLAR, INT8, INT16, UINT8, IntType, QuantParams, Rule, exact_matmul
from intaglio.program.channel_affine import ChannelAffine
from intaglio.program.field_bounds import Amount, Count
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, grid, params
from intaglio.program.weighted import Weighted, integer_fields, products, weighted_fields
from intaglio.program.windows import Window


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d(Weighted):
    """Computes the equation of the module. The other fields are those of `Weighted`; in one dimension the height is 1.

    Args:
        weight: (O, kh, kw, I/groups), codes of `weight_type`.
        strides, dilations: (vertical, horizontal).
        pads: (top, left, bottom, right).
        groups: I and O are divided into this many independent parts.
    """

    kind: ClassVar[str] = "conv2d"

    strides: tuple[Count, ...] = (1, 1)
    dilations: tuple[Count, ...] = (1, 1)
    pads: tuple[Amount, ...] = (0, 0, 0, 0)
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
        strides: tuple[int, ...] = (1, 1),
        dilations: tuple[int, ...] = (1, 1),
        pads: tuple[int, ...] = (0, 0, 0, 0),
        groups: int = 1,
        low: int | None = None,
        high: int | None = None,
        accumulator: int | None = None,
    ) -> Conv2d:
        """Derive the integers from quantization parameters; see `weighted_fields` for those and the errors.

        Args:
            weight: codes of w.type, (O, kh, kw, I/groups).
        """
        fields = weighted_fields(x, w, y, weight, bias, rule, low=low, high=high, accumulator=accumulator)
        return cls(**fields, strides=strides, dilations=dilations, pads=pads, groups=groups)

    @classmethod
    def from_affine(
        cls,
        x: QuantParams,
        y: QuantParams,
        gain: NDArray[np.float64],
        offset: NDArray[np.float64],
        rule: Rule,
        *,
        low: int | None = None,
        high: int | None = None,
        accumulator: int | None = None,
    ) -> Conv2d:
        """Make `y[c] = gain[c] * x[c] + offset[c]` as a depthwise 1x1 convolution; see `program.channel_affine`.

        Args:
            x, y: parameters of input and output, one scale each.
            gain, offset: real, (C,).
            rule, low, high, accumulator: see `weighted_fields`.
        Raises:
            LoweringError: an accumulator may overflow, or a factor is out of range.
        """
        found = ChannelAffine.from_real(x, y, gain, offset, rule)
        weight = found.weight.reshape(-1, 1, 1, 1).astype(found.type.dtype)
        zero = np.zeros((), np.int32)
        bounds = {"low": low, "high": high, "accumulator": accumulator}
        fields = integer_fields(x, y, weight, zero, found.bias, found.factor, rule, weight_type=found.type, **bounds)
        return cls(**fields, groups=len(gain))

    @property
    def window(self) -> Window:
        """Return the window that moves over the image."""
        return Window(self.weight.shape[1:3], self.strides, self.dilations, self.pads)

    def shape(self, *inputs: Shape) -> Shape:
        """(N, H, W, I) to (N, H', W', O)."""
        n, h, w, _ = inputs[0]
        return (n, *self.window.out(h, w), self.weight.shape[0])

    def check(self, *inputs: Shape) -> None:
        """Check that weights, bias and multipliers have the same channels, and that the window fits the image."""
        self.check_channels(4)
        self.window.check(self, inputs[0])
        o, _, _, channels = self.weight.shape
        self.expect(
            channels * self.groups == inputs[0][-1] and o % self.groups == 0,
            f"weight {self.weight.shape} in {self.groups} groups does not fit an input of shape {inputs[0]}",
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output, (N, H', W', O)."""
        return self.finish(self.accumulate(inputs[0]))

    def accumulate(self, x: Ints) -> Ints:
        """Compute the accumulators, (N, H', W', O), int32 or int64."""
        weight = self.centred()
        # Padding with z_x lets the products use the codes as they are; the zero point's share is one constant:
        # sum (x - z_x) * w = sum x * w - z_x * sum w.
        sums = weight.reshape(weight.shape[0], -1).sum(axis=1, dtype=np.int64)
        bias = self.bias - np.int64(self.x_zero_point) * sums
        bound = max(abs(int(x.min())), abs(int(x.max())), abs(self.x_zero_point))
        windows = self.window.view(x, self.x_zero_point)
        if weight.shape[-1] == 1 and self.groups > 1:
            acc = self._depthwise(windows, weight)
        else:
            acc = self._grouped(windows, weight, bound)
        # The bias has the accumulator's type: where 32 bits are proved for all codes, they are for code 0, the bias.
        acc += bias.astype(acc.dtype)
        return acc

    def _grouped(self, windows: Ints, weight: Ints, bound: int) -> Ints:
        n, height, width, kh, kw, channels = windows.shape
        o, each = weight.shape[0] // self.groups, channels // self.groups
        parts = []
        for g in range(self.groups):
            columns = windows[..., g * each : (g + 1) * each].reshape(n * height * width, kh * kw * each)
            part = weight[g * o : (g + 1) * o].reshape(o, -1)
            parts.append(exact_matmul(columns, part.T, bound))
        acc = parts[0] if self.groups == 1 else np.concatenate(parts, axis=-1)
        if self.requantize.wide:
            acc = acc.astype(np.int64)
        return acc.reshape(n, height, width, -1)

    def _depthwise(self, windows: Ints, weight: Ints) -> Ints:
        """Compute one input channel per output: elementwise products, tap by tap, faster than matrix products."""
        n, height, width, kh, kw, channels = windows.shape
        per_input = weight.shape[0] // channels
        dtype = np.dtype(np.int64 if self.requantize.wide else np.int32)
        taps = weight.reshape(channels, per_input, kh, kw).astype(dtype)
        acc = np.zeros((n, height, width, channels, per_input), dtype)
        for u in range(kh):
            for v in range(kw):
                acc += windows[:, :, :, u, v, :, None].astype(dtype) * taps[:, :, u, v]
        return acc.reshape(n, height, width, -1)

    def macs(self, *inputs: Shape) -> int:
        """Count the products of one run."""
        return products(self.shape(*inputs), self.weight)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover kernels of 1 to 3, strides, dilations, groups, depthwise, padding, zero points; extremes; signs."""
        cases = [(1, 3, 5, 3, 0), (1, 8, 16, 1, 0), (4, 4, 4, 3, 0), (3, 3, 6, 2, 0), (2, 6, 4, 2, 0), (1, 16, 3, 3, 1)]
        for groups, channels, outputs, size, extreme in cases:
            for rule, type in (
                (Rule.HALF_UP, UINT8),
                (Rule.TFLITE, INT8),
                (Rule.SHIFT, INT8),
                (Rule.HALF_UP, INT16),
                (Rule.HALF_EVEN, UINT8),
            ):
                x, y = params(rng, type, rule, symmetric=type is INT16), params(rng, type, rule, 0.5)
                weight_type = IntType(4) if groups == 2 else INT8
                w = grid(weight_type, 2.0**-5)
                if rule is Rule.HALF_UP:
                    w = grid(UINT8, rng.uniform(0.01, 0.05, outputs), 128)
                yield (
                    cls.from_real(
                        x,
                        w,
                        y,
                        codes(rng, w.type, (outputs, size, size, channels // groups), extreme=bool(extreme)),
                        rng.uniform(-1, 1, outputs),
                        rule,
                        strides=(int(rng.integers(1, 3)), int(rng.integers(1, 3))),
                        dilations=(int(rng.integers(1, 3)), 1),
                        pads=tuple(int(p) for p in rng.integers(0, 2, 4)),
                        groups=groups,
                    ),
                    (codes(rng, type, (2, 7, 6, channels), extreme=bool(extreme)),),
                )
        for groups, channels, outputs, size in [(1, 16, 8, 3), (8, 8, 8, 3), (1, 33, 5, 1)]:
            for rule in Rule:
                weight = codes(rng, BIPOLAR, (outputs, size, size, channels // groups))
                pads = (size // 2,) * 4  # padding reads 0, between the codes
                x, w = grid(BIPOLAR, 1.0), grid(BIPOLAR, 0.5)
                for y in (grid(UINT8, 0.5), grid(BIPOLAR, 1.0)):
                    operator = cls.from_real(x, w, y, weight, None, rule, pads=pads, groups=groups)
                    yield operator, (codes(rng, BIPOLAR, (2, 7, 6, channels)),)
