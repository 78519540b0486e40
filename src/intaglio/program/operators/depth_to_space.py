"""Move channels into blocks of pixels; images are channels-last, b = block.

    y[n, h*b + i, w*b + j, c] = x[n, h, w, (i*b + j)*C + c]        DCR (depth, column, row), TFLite's order too
    y[n, h*b + i, w*b + j, c] = x[n, h, w, c*b*b + i*b + j]        CRD, PyTorch's pixel shuffle

Input and output have the same scale and zero point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, IntType
from intaglio.program.field_bounds import Count
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class DepthToSpace(Operator):
    """Moves channels into blocks of `block` x `block` pixels; `crd` selects the second order of channels."""

    kind: ClassVar[str] = "depth_to_space"

    block: Count
    crd: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """(N, H, W, b*b*C) to (N, b*H, b*W, C)."""
        n, h, w, c = inputs[0]
        return (n, h * self.block, w * self.block, c // self.block**2)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that the number of channels is divisible by b*b."""
        self.expect(
            len(inputs[0]) == 4 and inputs[0][3] % self.block**2 == 0,
            f"block {self.block} does not fit a shape {inputs[0]}",
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Move the integers."""
        n, h, w, c = inputs[0].shape
        b, each = self.block, c // self.block**2
        if self.crd:
            blocks = inputs[0].reshape(n, h, w, each, b, b).transpose(0, 1, 4, 2, 5, 3)
        else:
            blocks = inputs[0].reshape(n, h, w, b, b, each).transpose(0, 1, 3, 2, 4, 5)
        return blocks.reshape(n, h * b, w * b, each)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover blocks of 1, 2 and 3 in both orders."""
        for block in (1, 2, 3):
            for crd in (False, True):
                yield cls(block, crd), (codes(rng, INT16 if crd else INT8, (2, 3, 2, 2 * block * block)),)
