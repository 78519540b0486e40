"""Dense layer: a matrix product with constant weights.

    acc[..., o] = bias[o] + sum_k (x[..., k] - z_x) * (w[o, k] - z_w[o])
    y = clamp(z_y + acc * M[o], low, high)

The weight has one scale for the tensor or one for each output channel; scales per group of K are refused. Under the
rule `tflite` the factors round by `half_away`, as TFLite's reference kernel does; see `program.float_product` for the
remaining differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from intaglio.number import BIPOLAR, INT8, INT16, UINT8, IntType, QuantParams, Rule, exact_matmul
from intaglio.program.factors import default_accumulator, scale_of
from intaglio.program.float_product import match_float_product
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes, grid, params
from intaglio.program.weighted import Weighted, products, weighted_fields


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Weighted):
    """Computes the equation of the module. The fields are those of `Weighted`; `weight` is (O, K)."""

    kind: ClassVar[str] = "dense"
    rounds_once: ClassVar[bool] = True

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        w: QuantParams,
        y: QuantParams,
        weight: Ints,
        bias: Any,
        rule: Rule,
        *,
        low: int | None = None,
        high: int | None = None,
        accumulator: int | None = None,
        gain: float = 1.0,
    ) -> Dense:
        """Derive the integers; parameters and errors as for `weighted_fields`. weight: codes (O, K)."""
        once = Rule.HALF_AWAY if rule is Rule.TFLITE else rule
        accumulator = default_accumulator(x.type, rule) if accumulator is None else accumulator
        fields = weighted_fields(x, w, y, weight, bias, once, low=low, high=high, accumulator=accumulator, gain=gain)
        operator = cls(**fields)
        if rule is not Rule.TFLITE:
            return operator
        scales = w.scale.astype(np.float64).reshape(operator.requantize.multiplier.shape)
        factor = gain * scale_of(x) * scales / scale_of(y)
        bound = operator.accumulator_bound((), (x.type,))
        return replace(operator, requantize=match_float_product(operator.requantize, factor, bound, y.type))

    def shape(self, *inputs: Shape) -> Shape:
        """(..., K) to (..., O)."""
        return (*inputs[0][:-1], self.weight.shape[0])

    def check(self, *inputs: Shape) -> None:
        """Check the sizes of weights, bias and multipliers; refuse scales per group of K."""
        self.check_channels(2)
        self.expect(
            len(inputs[0]) >= 1 and inputs[0][-1] == self.weight.shape[1],
            f"weight {self.weight.shape} does not fit an input of shape {inputs[0]}",
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output, (..., O)."""
        return self.finish(self.accumulate(inputs[0]))

    def accumulate(self, x: Ints) -> Ints:
        """Compute the accumulators, (..., O), int32 or int64."""
        weight = self.centred()
        # As for the convolution: the zero point's share is one constant per channel.
        bias = self.bias - np.int64(self.x_zero_point) * weight.sum(axis=1, dtype=np.int64)
        acc = exact_matmul(x[None] if x.ndim == 1 else x, weight.T)
        if self.requantize.wide:
            acc = acc.astype(np.int64)
        acc += bias.astype(acc.dtype)
        return acc[0] if x.ndim == 1 else acc

    def macs(self, *inputs: Shape) -> int:
        """Count the products of one run."""
        return products(self.shape(*inputs), self.weight)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover vectors, matrices and sequences; 4, 8 and 16 bits; extremes, where the sum is largest; signs."""
        for shape, outputs, extreme in [((5,), 3, 0), ((2, 64), 10, 0), ((2, 3, 17), 8, 0), ((4, 300), 2, 1)]:
            for rule, type in (
                (Rule.HALF_UP, UINT8),
                (Rule.TFLITE, INT8),
                (Rule.SHIFT, INT8),
                (Rule.HALF_UP, INT16),
                (Rule.HALF_EVEN, UINT8),
            ):
                x, y = params(rng, type, rule, symmetric=type is INT16), params(rng, INT8, rule, 0.5)
                w = grid(IntType(4) if extreme else INT8, 2.0**-5)
                if rule is Rule.TFLITE and not extreme:
                    w = grid(INT8, rng.uniform(0.01, 0.05, outputs))
                weight = codes(rng, w.type, (outputs, shape[-1]), extreme=bool(extreme))
                operator = cls.from_real(x, w, y, weight, rng.uniform(-1, 1, outputs), rule, low=-100, high=100)
                yield operator, (codes(rng, type, shape, extreme=bool(extreme)),)
        for k in (16, 65):
            weight = codes(rng, BIPOLAR, (9, k))
            for y in (grid(UINT8, 0.5), grid(BIPOLAR, 1.0)):
                operator = cls.from_real(grid(BIPOLAR, 1.0), grid(BIPOLAR, 0.5), y, weight, None, Rule.HALF_UP)
                yield operator, (codes(rng, BIPOLAR, (4, k)),)
