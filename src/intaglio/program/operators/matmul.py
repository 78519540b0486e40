"""Matrix product of two computed tensors.

    acc[..., m, n] = sum_k (a[..., m, k] - z_a) * (b[..., k, n] - z_b)
    y = clamp(z_y + acc * M, low, high)

Leading axes broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Requantize, Rule, exact_matmul
from intaglio.program.factors import (
    clamp_of,
    default_accumulator,
    needs_wide,
    onto_grid,
    scale_of,
    tflite_matmul_factor,
    zero_point_of,
)
from intaglio.program.field_bounds import Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, params
from intaglio.program.shapes import broadcast


@dataclass(frozen=True, eq=False)
class MatMul(Operator):
    """Computes the equation of the module.

    Args:
        a_zero_point, b_zero_point, y_zero_point: of the operands and the output.
        requantize: factor from acc to output steps, ().
        low, high: clamp of the output codes.
        out: type of the output.
    """

    kind: ClassVar[str] = "matmul"
    operands: ClassVar[int | None] = 2

    a_zero_point: Code
    b_zero_point: Code
    y_zero_point: Code
    requantize: Requantize
    low: Code
    high: Code
    out: IntType

    @classmethod
    def from_real(
        cls,
        a: QuantParams,
        b: QuantParams,
        y: QuantParams,
        *,
        depth: int,
        rule: Rule,
        low: int | None = None,
        high: int | None = None,
        accumulator: int | None = None,
    ) -> MatMul:
        """Derive the integers from quantization parameters.

        Args:
            a, b, y: parameters, one scale each.
            depth: K, which bounds the accumulator.
            rule, low, high, accumulator: as for `weighted_fields`.
        Raises:
            LoweringError: the accumulator may overflow, or the factor is out of range.
        """
        bound = depth * a.type.max_abs_offset(zero_point_of(a)) * b.type.max_abs_offset(zero_point_of(b))
        if accumulator is None:
            accumulator = default_accumulator(max(a.type, b.type, key=lambda type: type.bits), rule)
        wide = needs_wide(bound, accumulator)
        low, high = clamp_of(y, low, high)
        real = tflite_matmul_factor(a, b, y) if rule is Rule.TFLITE else scale_of(a) * scale_of(b) / scale_of(y)
        factor, zero_point = onto_grid(real, y)
        requantize = Requantize.from_real(factor, rule, wide=wide)
        return cls(zero_point_of(a), zero_point_of(b), zero_point, requantize, low, high, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """(..., M, K) and (..., K, N) to (..., M, N)."""
        a, b = inputs
        return (*broadcast(self, a[:-2], b[:-2]), a[-2], b[-1])

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that inner sizes are equal, that leading axes broadcast, and that there is one multiplier."""
        a, b = inputs
        self.expect(
            len(a) >= 2 and len(b) >= 2 and a[-1] == b[-2], f"expected (..., M, K) and (..., K, N), got {a} and {b}"
        )
        broadcast(self, a[:-2], b[:-2])
        self.expect(self.requantize.multiplier.shape == (), "expected one multiplier")

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the accumulator by `K * max |a - z_a| * max |b - z_b|`."""
        return shapes[0][-1] * types[0].max_abs_offset(self.a_zero_point) * types[1].max_abs_offset(self.b_zero_point)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output, (..., M, N)."""
        a = inputs[0].astype(np.int32) - np.int32(self.a_zero_point)
        b = inputs[1].astype(np.int32) - np.int32(self.b_zero_point)
        return self.requantize.apply(exact_matmul(a, b), self.y_zero_point, self.low, self.high, self.out)

    def macs(self, *inputs: Shape) -> int:
        """Count the products of one run."""
        return math.prod(self.shape(*inputs)) * inputs[0][-1]

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover matrices, stacks, broadcasting; mixed types; extremes; 16 by 16 bits, which need wide sums."""
        shapes = [((2, 3, 4), (2, 4, 5)), ((2, 2, 5, 8), (2, 1, 8, 3)), ((2, 1, 64), (64, 1))]
        types = (
            (Rule.HALF_UP, UINT8, INT8),
            (Rule.TFLITE, INT8, INT8),
            (Rule.SHIFT, INT8, INT8),
            (Rule.HALF_UP, INT16, INT16),
            (Rule.HALF_EVEN, INT8, INT8),
        )
        for a_shape, b_shape in shapes:
            for extreme, (rule, a_type, b_type) in enumerate(types):
                a, b, y = params(rng, a_type, rule), params(rng, b_type, rule), params(rng, INT8, rule, 0.5)
                operator = cls.from_real(a, b, y, depth=a_shape[-1], rule=rule)
                ends = extreme == 3
                yield operator, (codes(rng, a_type, a_shape, extreme=ends), codes(rng, b_type, b_shape, extreme=ends))
