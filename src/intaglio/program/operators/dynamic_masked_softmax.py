"""Softmax over the positions of the last axis that a computed mask keeps.   y[i] = exp(x[i]) / sum_j exp(x[j])

    e[i] = exp((x[i] - max x) s_x) in Q30, from tables, where keep[i] is not 0; 0 elsewhere; the maximum is of kept x
    y[i] = min(z_y + (e[i] * R + S / 2) / S, high)           S = sum e >= 2**30,  R = 1 / s_y, a whole number

The same as `masked_softmax`, whose mask is constant: a masked position is exactly 0, whatever its x, and in a row
without kept positions all elements are 1 / N. The mask broadcasts to x.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from intaglio.number import BOOLEAN, INT8, INT16, UINT8, IntType, QuantParams
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.operators.masked_softmax import masked_shares
from intaglio.program.operators.softmax import Softmax
from intaglio.program.sampling import UINT16, codes, grid, params
from intaglio.program.shapes import broadcast


@dataclass(frozen=True, eq=False)
class DynamicMaskedSoftmax(Softmax):
    """Computes the equation of the module; inputs: x, keep."""

    kind: ClassVar[str] = "dynamic_masked_softmax"
    operands: ClassVar[int | None] = 2

    @classmethod
    def from_softmax(cls, x: QuantParams, y: QuantParams) -> DynamicMaskedSoftmax:
        """Derive the integers as `Softmax.from_real` does.

        Raises:
            LoweringError: 1 / (scale of the output) is not a whole number up to 65536.
        """
        plain = Softmax.from_real(x, y)
        return cls(**{f.name: getattr(plain, f.name) for f in fields(plain)})

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of x."""
        return super().shape(inputs[0])

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return super().out_type(inputs[0])

    def check(self, *inputs: Shape) -> None:
        """Check as `Softmax` does, and that the mask broadcasts to x."""
        super().check(inputs[0])
        got = broadcast(self, *inputs)
        self.expect(got == inputs[0], f"expected a mask that broadcasts to {inputs[0]}, got {inputs[1]}")

    def check_types(self, *inputs: IntType) -> None:
        """Check x as `Softmax` does."""
        super().check_types(inputs[0])

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        x, keep = inputs
        return masked_shares(self, x, np.broadcast_to(keep != 0, x.shape))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover masks of every row, of columns, of one number and of rows without kept positions."""
        results = [grid(UINT8, 1 / 256), grid(INT8, 1 / 256, -128), grid(INT16, 1 / 32768)]
        for type in (INT8, UINT8, INT16, UINT16):
            for size in ((2, 3, 4, 9), (2, 1, 1, 9), (2, 3, 1, 1), (1, 1, 4, 9)):
                keep = codes(rng, BOOLEAN, size)
                keep[0, 0, 0] = 0
                for y in results:
                    x = params(rng, type, scale=float(rng.choice([0.02, 0.2, 2.0])) * 256 / (1 << type.bits))
                    yield cls.from_softmax(x, y), (codes(rng, type, (2, 3, 4, 9)), keep)
