"""Relation of two operands that broadcast, 1 where it holds and 0 elsewhere: comparisons and logic.

    d = (a - z_a) m_a - (b - z_b) m_b - offset
    y = 1 where d < 0 and `below`, d = 0 and `equal`, or d > 0 and `above`;   else 0

Real operands are compared on one grid: m_a / m_b = s_a / s_b, exactly where the scales are within a factor of 32 of
each other, else to 2**-29. Integers have m = 1. Of booleans, 0 or 1, the sum a + b is compared (m_b = -1) with 1 or 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, ClassVar

import numpy as np

from intaglio.number import BOOLEAN, INT32, IntType, QuantParams
from intaglio.program.factors import scale_of, zero_point_of
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes, params
from intaglio.program.shapes import broadcast

MULTIPLIER_BITS = 29
Multiplier = Annotated[int, Bound(-(1 << MULTIPLIER_BITS), 1 << MULTIPLIER_BITS)]


@dataclass(frozen=True, eq=False)
class Relation(Operator):
    """Computes the equation of the module.

    Args:
        below, equal, above: for which signs of d the relation holds.
        a_zero_point, b_zero_point: of the operands.
        a_multiplier, b_multiplier, offset: integers.
    """

    kind: ClassVar[str] = "relation"
    operands: ClassVar[int | None] = 2

    below: bool
    equal: bool
    above: bool
    a_zero_point: Code = 0
    b_zero_point: Code = 0
    a_multiplier: Multiplier = 1
    b_multiplier: Multiplier = 1
    offset: Code = 0

    @classmethod
    def from_real(cls, a: QuantParams, b: QuantParams, *, below: bool, equal: bool, above: bool) -> Relation:
        """Derive the integers that compare numbers on two grids, one scale each.

        Raises:
            LoweringError: an operand has several scales.
        """
        ratio, most = Fraction(scale_of(a)) / Fraction(scale_of(b)), 1 << MULTIPLIER_BITS
        factors = ratio.numerator, ratio.denominator
        if max(factors) > most:
            factors = (most, max(1, round(most / ratio))) if ratio > 1 else (max(1, round(most * ratio)), most)
        return cls(below, equal, above, zero_point_of(a), zero_point_of(b), *factors)

    @classmethod
    def from_integers(
        cls, below: bool, equal: bool, above: bool, *, b_multiplier: int = 1, offset: int = 0
    ) -> Relation:
        """Compare integers as they are."""
        return cls(below, equal, above, b_multiplier=b_multiplier, offset=offset)

    def shape(self, *inputs: Shape) -> Shape:
        """Broadcast the operands."""
        return broadcast(self, *inputs)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return 1 bit, 0 or 1."""
        return BOOLEAN

    def check(self, *inputs: Shape) -> None:
        """Check that the operands broadcast."""
        broadcast(self, *inputs)

    def integer(self, *inputs: Ints) -> Ints:
        """Compare."""
        a, b = (x.astype(np.int64) for x in inputs)
        d = (a - self.a_zero_point) * self.a_multiplier - (b - self.b_zero_point) * self.b_multiplier - self.offset
        holds = ((d < 0) & self.below) | ((d == 0) & self.equal) | ((d > 0) & self.above)
        return np.asarray(holds).astype(BOOLEAN.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every relation of numbers on two grids, of integers with extremes, and logic; with broadcasting."""
        signs = [(True, False, False), (False, True, False), (True, False, True), (False, True, True)]
        for type in TYPES:
            for below, equal, above in signs:
                a, b = params(rng, type), params(rng, type, scale=float(rng.choice([0.05, 5.0, 1e-4])))
                operator = cls.from_real(a, b, below=below, equal=equal, above=above)
                yield operator, (codes(rng, type, (2, 5, 1)), codes(rng, type, (1, 5, 7)))
        for below, equal, above in signs:
            yield cls(below, equal, above), (codes(rng, INT32, (2, 6)), codes(rng, INT32, (2, 6)))
        for sum in (1, 2):
            operator = cls(False, True, sum == 2, b_multiplier=-1, offset=sum)
            yield operator, (codes(rng, BOOLEAN, (2, 4, 3)), codes(rng, BOOLEAN, (2, 1, 3)))
