"""Bilinear interpolation of channels-last images: two taps in each direction.

    acc = sum_{a,b in 0,1} R[i,a] * C[j,b] * x[n, rows[i,a], columns[j,b], c]       R, C >= 0, R[i,0] + R[i,1] = 2**bits
    y = (acc + 2**(2 bits - 1)) >> (2 bits)                                         one rounding, ties up
    y = z + half_even(acc - z 2**(2 bits), 2 bits)                                  where z is given: ties to even

The weights sum to one, so scale and zero point are those of the input, and constant images stay constant. Lowering
computes indices and weights, so one operator serves every coordinate mode. `bits` is 11: weights are exact to 2**-12,
the result to 1/2 + 2**-11 * (qmax - qmin) steps; 255 * 2**22 < 2**31, 16-bit inputs need 64-bit sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from intaglio.number import INT8, INT16, UINT8, IntType
from intaglio.number.fixedpoint import rounding_shift_right, rounding_shift_right_even
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class ResizeBilinear(Operator):
    """Computes the equation of the module.

    Args:
        rows: int32, (H', 2), input rows of each output row; (-1, -1) where it lies outside and gets `fill`.
        row_weights: int32, (H', 2), not negative; each row sums to 2**bits.
        columns, column_weights: the same along the width.
        bits: of the weights, 1 to 14.
        fill: code of outputs whose row or column is outside.
        zero_point: z, for ties as under the rule `half_even`; None: ties go up.
    """

    kind: ClassVar[str] = "resize_bilinear"

    rows: Ints
    row_weights: Ints
    columns: Ints
    column_weights: Ints
    bits: Annotated[int, Bound(1, 14)] = 11
    fill: Code = 0
    zero_point: Code | None = None

    @classmethod
    def from_positions(
        cls,
        rows: ArrayLike,
        columns: ArrayLike,
        *,
        height: int,
        width: int,
        rows_outside: ArrayLike | None = None,
        columns_outside: ArrayLike | None = None,
        fill: int = 0,
        bits: int = 11,
        zero_point: int | None = None,
    ) -> ResizeBilinear:
        """Make the tables from real positions.

        Args:
            rows, columns: (H',) and (W',): position of each output row and column in the input;
                positions beyond an edge are moved to the edge.
            height, width: of the input.
            rows_outside, columns_outside: bool, output rows and columns that get `fill` (extrapolation).
            fill: the code of these.
            bits: of the weights.
            zero_point: see the class.
        """
        row_index, row_weights = _taps(rows, height, rows_outside, bits)
        column_index, column_weights = _taps(columns, width, columns_outside, bits)
        return cls(row_index, row_weights, column_index, column_weights, bits, fill, zero_point)

    def shape(self, *inputs: Shape) -> Shape:
        """(N, H, W, C) to (N, H', W', C)."""
        n, _, _, c = inputs[0]
        return (n, self.rows.shape[0], self.columns.shape[0], c)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that indices are inside the image and that weights sum to one."""
        self.expect(len(inputs[0]) == 4, f"expected an image (N, H, W, C), got shape {inputs[0]}")
        for index, weights, size in (
            (self.rows, self.row_weights, inputs[0][1]),
            (self.columns, self.column_weights, inputs[0][2]),
        ):
            self.expect(
                index.ndim == 2 and index.shape[1] == 2 and index.shape == weights.shape and index.size > 0
                and index.dtype == weights.dtype == np.int32,
                f"expected int32 indices and weights of shape (size, 2), got {index.shape} and {weights.shape}",
            )  # fmt: skip
            outside = index[:, 0] < 0
            self.expect(
                bool((index[~outside] >= 0).all() and (index[outside] == -1).all() and (index < size).all()),
                f"expected indices from 0 to {size - 1}",
            )
            total = weights.astype(np.int64).sum(axis=1)
            self.expect(
                bool((weights >= 0).all() and (total == 1 << self.bits).all()),
                f"expected weights with sum 2**{self.bits}",
            )

    def check_types(self, *inputs: IntType) -> None:
        """Check that fill and zero point are codes, and that every integer between two codes is a code."""
        self.expect(not inputs[0].bipolar, f"expected a type with consecutive codes, got {inputs[0]}")
        for name, code in (("fill", self.fill), ("zero point", self.zero_point or 0)):
            self.expect(inputs[0].qmin <= code <= inputs[0].qmax, f"{name} {code} is no code of {inputs[0]}")

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output, (N, H', W', C)."""
        x = inputs[0].astype(np.int64)
        columns, rows = np.maximum(self.columns, 0), np.maximum(self.rows, 0)
        c = [self.column_weights[:, b, None].astype(np.int64) for b in (0, 1)]
        r = [self.row_weights[:, a, None, None].astype(np.int64) for a in (0, 1)]
        across = x[:, :, columns[:, 0]] * c[0] + x[:, :, columns[:, 1]] * c[1]
        acc = across[:, rows[:, 0]] * r[0] + across[:, rows[:, 1]] * r[1]
        if self.zero_point is None:
            y = rounding_shift_right(acc, 2 * self.bits).astype(inputs[0].dtype)
        else:
            centred = rounding_shift_right_even(acc - (self.zero_point << 2 * self.bits), 2 * self.bits)
            y = (centred + self.zero_point).astype(inputs[0].dtype)
        y[:, self.rows[:, 0] < 0] = self.fill
        y[:, :, self.columns[:, 0] < 0] = self.fill
        return y

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover larger, smaller and equal sizes, arbitrary positions, positions outside, and ties."""
        for type in (INT8, UINT8, INT16):
            x = codes(rng, type, (2, 5, 6, 3))
            for height, width in ((10, 12), (3, 4), (5, 6), (1, 1)):
                rows, columns = ((np.arange(n) + 0.5) * s / n - 0.5 for n, s in ((height, 5), (width, 6)))
                yield cls.from_positions(rows, columns, height=5, width=6), (x,)
                if height == 10:
                    yield cls.from_positions(rows, columns, height=5, width=6, zero_point=type.qmax - 2), (x,)
            rows, columns = rng.uniform(-1, 5, 7), rng.uniform(-1, 6, 4)
            yield (
                cls.from_positions(
                    rows, columns, height=5, width=6, rows_outside=rows < 0, columns_outside=columns > 5, fill=type.qmax
                ),
                (x,),
            )


def _taps(at: ArrayLike, size: int, outside: ArrayLike | None, bits: int) -> tuple[Ints, Ints]:
    """Compute indices and weights, int32, (size', 2)."""
    at = np.clip(np.asarray(at, np.float64), 0, size - 1)
    first = np.floor(at).astype(np.int64)
    second = np.rint((at - first) * 2.0**bits).astype(np.int64)
    index = np.stack([first, np.minimum(first + 1, size - 1)], axis=1)
    if outside is not None:
        index[np.asarray(outside, np.bool_)] = -1
    return index.astype(np.int32), np.stack([(1 << bits) - second, second], axis=1).astype(np.int32)
