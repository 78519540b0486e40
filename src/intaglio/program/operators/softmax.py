"""Softmax along the last axis.   y[i] = exp(x[i]) / sum_j exp(x[j])

    e[i] = exp((x[i] - max x) s_x) in Q30, from tables
    y[i] = min(z_y + (e[i] * R + S / 2) / S, high)           S = sum e >= 2**30,  R = 1 / s_y, a whole number

The divisions have non-negative operands and round down, so ties of the result go up. Tables and their product are exact
to 2**-30, so the result is within one step of the exact softmax of the codes, rounded. e * R < 2**46.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from intaglio.errors import LoweringError
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams
from intaglio.number.fixedpoint import saturate
from intaglio.program.exponential import check_tables, exp_tables, exponentials
from intaglio.program.factors import clamp_of, scale_of, zero_point_of
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import UINT16, codes, grid, params


@dataclass(frozen=True, eq=False)
class Softmax(Operator):
    """Computes the equation of the module.

    Args:
        exp_low, exp_high: int32, tables of exp; see `program.exponential`.
        reciprocal_scale: R, 1 to 65536.
        y_zero_point: of the output.
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "softmax"

    exp_low: Ints
    exp_high: Ints
    reciprocal_scale: Annotated[int, Bound(1, 1 << 16)]
    y_zero_point: Code
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(cls, x: QuantParams, y: QuantParams, *, low: int | None = None, high: int | None = None) -> Softmax:
        """Derive the integers, one scale each; the output's scale is 1/256, 1/32768 or another 1/R.

        Raises:
            LoweringError: 1 / (scale of the output) is not a whole number up to 65536.
        """
        reciprocal = 1.0 / scale_of(y)
        whole = round(reciprocal)
        if not (1 <= whole <= 65536 and math.isclose(reciprocal, whole, rel_tol=1e-6)):
            raise LoweringError(
                f"softmax: expected an output scale of 1/256, 1/32768 or another 1/N, got {scale_of(y):.6g}"
            )
        low, high = clamp_of(y, low, high)
        return cls(*exp_tables(scale_of(x), x.type), whole, zero_point_of(y), low, high, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that there is a last axis, short enough that the sum cannot overflow."""
        self.expect(len(inputs[0]) >= 1, "expected at least one axis")

    def check_types(self, *inputs: IntType) -> None:
        """Check that the tables fit the input type."""
        check_tables(self, self.exp_low, self.exp_high, inputs[0])

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        e = exponentials(inputs[0], self.exp_low, self.exp_high)
        total = e.sum(axis=-1, keepdims=True)
        y = (e * self.reciprocal_scale + (total >> 1)) // total + self.y_zero_point
        return saturate(y, self.low, self.high, self.out.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover few and many elements, several scales, every input type, 8 and 16 bits out, ties, one element."""
        results = [
            grid(UINT8, 1 / 256),
            grid(INT8, 1 / 256, -128),
            grid(INT16, 1 / 32768),
            grid(INT8, 1 / 127),
        ]
        for type in (INT8, UINT8, INT16, UINT16):
            for shape in ((2, 10), (3, 1), (2, 2, 1000)):
                for y in results:
                    x = params(rng, type, scale=float(rng.choice([0.02, 0.2, 2.0])) * 256 / (1 << type.bits))
                    yield cls.from_real(x, y), (codes(rng, type, shape),)
        yield cls.from_real(params(rng, INT8), results[0]), (np.full((2, 3), 7, np.int8),)
