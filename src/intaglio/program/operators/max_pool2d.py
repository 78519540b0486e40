"""Max pool over channels-last images.   y[n,i,j,c] = clamp(max_{u,v} x[n, i*s+u*d-p, j*s+v*d-p, c], low, high)

Padding is never the maximum: every window contains at least one element of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import IntType
from intaglio.number.fixedpoint import saturate
from intaglio.program.field_bounds import Amount, Code, Count
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes
from intaglio.program.windows import Window


@dataclass(frozen=True, eq=False)
class MaxPool2d(Operator):
    """Computes the equation of the module. Input and output have the same scale and zero point.

    Args:
        kernel, strides, dilations: (vertical, horizontal).
        pads: (top, left, bottom, right), including what `ceil_mode` adds.
        low, high: clamp of the codes.
    """

    kind: ClassVar[str] = "max_pool2d"

    kernel: tuple[Count, ...]
    strides: tuple[Count, ...]
    dilations: tuple[Count, ...]
    pads: tuple[Amount, ...]
    low: Code
    high: Code

    @property
    def window(self) -> Window:
        """Return the window that moves over the image."""
        return Window(self.kernel, self.strides, self.dilations, self.pads)

    def shape(self, *inputs: Shape) -> Shape:
        """(N, H, W, C) to (N, H', W', C)."""
        n, h, w, c = inputs[0]
        return (n, *self.window.out(h, w), c)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that the window fits and never lies in padding alone."""
        self.window.check(self, inputs[0])
        self.window.check_never_empty(self, inputs[0])

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output, (N, H', W', C)."""
        windows = self.window.view(inputs[0], int(np.iinfo(inputs[0].dtype).min))
        best = windows[:, :, :, 0, 0]
        for u in range(self.kernel[0]):
            for v in range(self.kernel[1]):
                best = np.maximum(best, windows[:, :, :, u, v])
        return saturate(best, self.low, self.high, best.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover strides, dilation, padding on some sides, a clamp; every type."""
        windows = [
            ((2, 2), (2, 2), (1, 1), (0, 0, 0, 0)),
            ((3, 3), (1, 2), (1, 1), (1, 1, 1, 1)),
            ((3, 2), (2, 1), (2, 1), (2, 0, 3, 1)),
        ]
        for kernel, strides, dilations, pads in windows:
            for type in TYPES:
                low = (type.qmin + type.qmax + 1) // 2 if strides == (1, 2) else type.qmin
                yield cls(kernel, strides, dilations, pads, low, type.qmax), (codes(rng, type, (2, 7, 6, 3)),)
