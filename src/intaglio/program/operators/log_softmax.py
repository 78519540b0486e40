"""Logarithm of the softmax along the last axis.   y[i] = x[i] - log sum_j exp(x[j])

    S = sum_j exp((x[j] - max x) s_x) in Q30, from tables;   S = 2**k (1 + f),  f = i / 256 + r / 2**30
    log = (k - 30) * log_two + table[i] + (((table[i + 1] - table[i]) * r + 2**21) >> 22)
    y[i] = clamp(z_y - ((max x - x[i]) * M + log) * M', low, high)        M = 2**F s_x,  M' = 1 / (2**F s_y)

Logarithms are in Q(F); F is at most 20 and small enough that every sum stays below 2**31. The interpolation of log(1 +
f) over 1/256 is exact to 2**-19, so together with the four roundings of Q(F) values the result is within one step
wherever s_y >= 2**(3 - F).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from intaglio.errors import LoweringError
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import floor_log2
from intaglio.program.exponential import check_tables, exp_tables, exponentials
from intaglio.program.factors import clamp_of, scale_of, zero_point_of
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import UINT16, codes, grid, params


@dataclass(frozen=True, eq=False)
class LogSoftmax(Operator):
    """Computes the equation of the module.

    Args:
        exp_low, exp_high: int32, tables of exp; see `program.exponential`.
        log_table: int32, (257,): log(1 + i/256) in Q(F).
        log_two: log 2 in Q(F).
        difference: M, ().
        requantize: M', ().
        y_zero_point: of the output.
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "log_softmax"

    exp_low: Ints
    exp_high: Ints
    log_table: Ints
    log_two: Annotated[int, Bound(1, (1 << 20) - 1)]
    difference: Requantize
    requantize: Requantize
    y_zero_point: Code
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls, x: QuantParams, y: QuantParams, *, rule: Rule, low: int | None = None, high: int | None = None
    ) -> LogSoftmax:
        """Derive the integers from quantization parameters, one scale each; clamp in output codes.

        Raises:
            LoweringError: the input's range is so wide (2**27 and more) that no fixed point holds its logarithms.
        """
        # Largest difference of two inputs, plus log of any count below 2**32.
        span = scale_of(x) * ((1 << x.type.bits) - 1) + 32.0
        bits = min(20, 30 - math.ceil(math.log2(span)))
        if bits < 3:
            raise LoweringError(f"log_softmax: expected inputs within 2**27 of each other, got a range of {span:.3g}")
        low, high = clamp_of(y, low, high)
        return cls(
            *exp_tables(scale_of(x), x.type),
            log_table=np.rint(np.log1p(np.arange(257) / 256) * 2.0**bits).astype(np.int32),
            log_two=round(math.log(2.0) * 2**bits),
            difference=Requantize.from_real(scale_of(x) * 2.0**bits, rule),
            requantize=Requantize.from_real(2.0**-bits / scale_of(y), rule),
            y_zero_point=zero_point_of(y),
            low=low,
            high=high,
            out=y.type,
        )

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that factors are scalars and that the table rises from 0 to log 2."""
        self.expect(len(inputs[0]) >= 1, "expected at least one axis")
        for factor in (self.difference, self.requantize):
            self.expect(factor.multiplier.shape == () and not factor.wide, "expected scalar factors of 32 bits")
        table = self.log_table
        self.expect(
            table.shape == (257,) and table.dtype == np.int32 and table[0] == 0 and bool((np.diff(table) >= 0).all())
            and table[-1] <= self.log_two + 1,
            "expected a log table of 257 int32 entries that rises from 0 to log 2",
        )  # fmt: skip

    def check_types(self, *inputs: IntType) -> None:
        """Check that the tables fit the input type."""
        check_tables(self, self.exp_low, self.exp_high, inputs[0])

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the difference of codes, and the same in Q(F) plus the logarithm of the number of elements."""
        codes = (1 << types[0].bits) - 1
        largest = int(self.difference.scale(np.asarray(codes)))
        return max(codes, largest + (shapes[0][-1].bit_length() + 1) * (self.log_two + 1))

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        x = inputs[0].astype(np.int64)
        total = exponentials(x, self.exp_low, self.exp_high).sum(axis=-1, keepdims=True)
        k = floor_log2(total)
        fraction = (total - (np.int64(1) << k)) >> (k - 30)  # Q30; k >= 30, because the maximum itself adds 2**30
        index, rest = fraction >> 22, fraction & ((1 << 22) - 1)
        base, after = self.log_table.astype(np.int64)[index], self.log_table.astype(np.int64)[index + 1]
        log = (k - 30) * self.log_two + base + (((after - base) * rest + (1 << 21)) >> 22)
        below = self.difference.scale(x.max(axis=-1, keepdims=True) - x) + log
        return self.requantize.apply(-below, self.y_zero_point, self.low, self.high, self.out)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover few and many elements, large and small scales, every input type and rule, ties, and one element."""
        for type in (INT8, UINT8, INT16, UINT16):
            for shape in ((2, 10), (3, 1), (2, 2, 1000)):
                for rule in Rule:
                    x = params(rng, type, rule, scale=float(rng.choice([0.02, 0.2, 2.0])) * 256 / (1 << type.bits))
                    y = grid(UINT8, 1 / 16, 255) if rule is Rule.HALF_UP else grid(INT8, 1 / 16, 127)
                    yield cls.from_real(x, y, rule=rule), (codes(rng, type, shape),)
        y = grid(INT16, 2.0**-11)
        yield cls.from_real(params(rng, INT8), y, rule=Rule.HALF_UP), (np.full((2, 3), 7, np.int8),)
