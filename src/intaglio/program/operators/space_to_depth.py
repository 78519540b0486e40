"""Move blocks of pixels into channels; images are channels-last, b = block.

y[n, h, w, (i*b + j)*C + c] = x[n, h*b + i, w*b + j, c]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, IntType
from intaglio.program.field_bounds import Count
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class SpaceToDepth(Operator):
    """Moves blocks of `block` x `block` pixels into channels."""

    kind: ClassVar[str] = "space_to_depth"

    block: Count

    def shape(self, *inputs: Shape) -> Shape:
        """(N, b*H, b*W, C) to (N, H, W, b*b*C)."""
        n, h, w, c = inputs[0]
        return (n, h // self.block, w // self.block, c * self.block**2)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that the sizes of the image are divisible by b."""
        self.expect(
            len(inputs[0]) == 4 and inputs[0][1] % self.block == inputs[0][2] % self.block == 0,
            f"block {self.block} does not fit a shape {inputs[0]}",
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Move the integers."""
        n, h, w, c = inputs[0].shape
        b = self.block
        blocks = inputs[0].reshape(n, h // b, b, w // b, b, c).transpose(0, 1, 3, 2, 4, 5)
        return blocks.reshape(n, h // b, w // b, b * b * c)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover blocks of 1, 2 and 3."""
        for block in (1, 2, 3):
            yield cls(block), (codes(rng, INT8, (2, 2 * block, 3 * block, 2)),)
