"""Softmax over the kept positions of the last axis.   y[i] = exp(x[i]) / sum_j exp(x[j]),   i and j kept

    e[i] = exp((x[i] - max x) s_x) in Q30, from tables, where i is kept; 0 elsewhere;   the maximum is of kept x
    y[i] = min(z_y + (e[i] * R + S / 2) / S, high)           S = sum e >= 2**30,  R = 1 / s_y, a whole number

A masked position is exactly 0, whatever its x. In a row without kept positions every e is 1, so all elements are 1 / N.
Everything else is as in `softmax`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.number import INT8, INT16, UINT8, QuantParams
from intaglio.number.fixedpoint import saturate
from intaglio.program.exponential import products
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.operators.softmax import Softmax
from intaglio.program.sampling import UINT16, codes, grid, params


@dataclass(frozen=True, eq=False)
class MaskedSoftmax(Softmax):
    """Computes the equation of the module.

    Args:
        keep: uint8, (R, N): 1 for kept positions of a row, 0 for others. Row r of the input uses row r % R.
    """

    kind: ClassVar[str] = "masked_softmax"

    keep: Ints

    @classmethod
    def from_mask(cls, x: QuantParams, y: QuantParams, keep: NDArray[np.bool_]) -> MaskedSoftmax:
        """Derive the integers as `Softmax.from_real` does, for the kept positions.

        Raises:
            LoweringError: 1 / (scale of the output) is not a whole number up to 65536.
        """
        plain = Softmax.from_real(x, y)
        return cls(**{f.name: getattr(plain, f.name) for f in fields(plain)}, keep=keep.astype(np.uint8))

    def check(self, *inputs: Shape) -> None:
        """Check as `Softmax` does, and that the number of rows is a multiple of R."""
        super().check(*inputs)
        keep, (*outer, length) = self.keep, inputs[0]
        self.expect(
            keep.ndim == 2 and keep.dtype == np.uint8 and keep.shape[0] >= 1 and keep.shape[1] == length
            and int(np.prod(outer)) % keep.shape[0] == 0 and bool((keep <= 1).all()),
            f"expected a mask of zeros and ones, (R, {length}), R a divisor of the number of rows in {inputs[0]}, got "
            f"{keep.dtype} of shape {keep.shape}",
        )  # fmt: skip

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        x = inputs[0]
        keep = np.broadcast_to(self.keep != 0, (x.size // self.keep.size, *self.keep.shape))
        return masked_shares(self, x, keep.reshape(x.shape))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover causal, random, empty and full masks, one for several rows; every input type; 8 and 16 bits out."""
        results = [grid(UINT8, 1 / 256), grid(INT8, 1 / 256, -128), grid(INT16, 1 / 32768), grid(INT8, 1 / 127)]
        random = rng.random((4, 21)) < 0.4
        random[1], random[2] = False, True
        masks = (np.tril(np.ones((6, 6), bool)), random, np.zeros((1, 5), bool), np.ones((2, 1), bool))
        for type in (INT8, UINT8, INT16, UINT16):
            for keep in masks:
                for y in results:
                    x = params(rng, type, scale=float(rng.choice([0.02, 0.2, 2.0])) * 256 / (1 << type.bits))
                    yield cls.from_mask(x, y, keep), (codes(rng, type, (3, *keep.shape)),)


def masked_shares(operator: Softmax, x: Ints, keep: NDArray[np.bool_]) -> Ints:
    """Compute the codes of a softmax over kept positions, for a mask of the shape of x."""
    some = keep.any(axis=-1, keepdims=True)
    rows = np.where(some, x.astype(np.int64), 0)
    keep = keep | ~some
    largest = np.where(keep, rows, np.iinfo(np.int64).min).max(axis=-1, keepdims=True)
    e = np.where(keep, products(np.where(keep, largest - rows, 0), operator.exp_low, operator.exp_high), 0)
    total = e.sum(axis=-1, keepdims=True)
    y = (e * operator.reciprocal_scale + (total >> 1)) // total + operator.y_zero_point
    return np.asarray(saturate(y, operator.low, operator.high, operator.out.dtype).reshape(x.shape))
