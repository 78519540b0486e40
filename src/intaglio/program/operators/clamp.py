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
    """`low`, `high`: bounds in codes, which input and output share."""

    kind: ClassVar[str] = "clamp"

    low: Code
    high: Code

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """The input's."""
        return inputs[0]

    def integer(self, *inputs: Ints) -> Ints:
        """The clamped codes."""
        return saturate(inputs[0], self.low, self.high, inputs[0].dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Every type; one side, both, all one value."""
        for type in TYPES:
            middle = (type.qmin + type.qmax + 1) // 2
            for low, high in [(middle, type.qmax), (middle - 3, middle + 5), (middle, middle)]:
                yield cls(low, high), (codes(rng, type, (2, 3, 20)),)
