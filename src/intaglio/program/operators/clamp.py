"""Clamp without a change of scale.   y = min(max(x, low), high)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import IntType
from intaglio.number.fixedpoint import saturate
from intaglio.program.field_bounds import Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes


@dataclass(frozen=True, eq=False)
class Clamp(Operator):
    """Limits codes to `low` and `high`; input and output have the same scale and zero point."""

    kind: ClassVar[str] = "clamp"

    low: Code
    high: Code

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the clamped codes."""
        return saturate(inputs[0], self.low, self.high, inputs[0].dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every type; bounds on one side, on both, and equal bounds."""
        for type in TYPES:
            middle = (type.qmin + type.qmax + 1) // 2
            for low, high in [(middle, type.qmax), (middle - 3, middle + 5), (middle, middle)]:
                yield cls(low, high), (codes(rng, type, (2, 3, 20)),)
