"""Any function of one value, read from a table that lowering computes.   y = f(x)

Up to 8 bits:       y = table[x - qmin]
9 to 16 bits:       b, r = divmod(x - qmin, 2**s),   s = bits - 9,   512 blocks,   i = start[b] + (r >> k[b])
                    y = (table[i] * 2**k + (table[i + 1] - table[i]) * (r mod 2**k) + 2**(k + f - 1)) >> (k + f)

A table for 9 bits and more is interpolated between its knots, one per block (start[b] = b, k = s) and more where the
function bends, up to one for each code; see `program.knots`. Knots of results of up to 8 bits have f = 7 fractional
bits, so that the result is rounded once; those of wider results have f = 0. Every result is within 1.5 steps of the
exact function, within 0.625 where f = 7; `errors` measures the difference.

Source: TensorFlow Lite, LUTPopulate and LUTLookup (16 bits).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import LoweringError
from intaglio.number import BIPOLAR, INT8, INT16, UINT8, IntType, QuantParams, Requantize, Rule
from intaglio.program.factors import clamp_of, scale_of, zero_point_of
from intaglio.program.knots import interpolate, knots_problem, place_knots
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import UINT16, codes, grid, params

Function = Callable[[NDArray[np.float64]], NDArray[Any]]


def first_entry(type: IntType) -> int:
    """Return the code of the first entry of a table; a narrow type may not have it."""
    return type.qmin - int(type.narrow or type.bipolar)


def entries(type: IntType) -> int:
    """Count the entries of a table for a type of up to 8 bits: a power of two; 4 for bipolar."""
    return 4 if type.bipolar else 1 << type.bits


def fraction(type: IntType, out: IntType) -> int:
    """Return the fractional bits of a table's knots: f of the equation."""
    return 7 if type.bits > 8 and out.bits <= 8 else 0


@dataclass(frozen=True, eq=False)
class Lut(Operator):
    """Computes the equation of the module.

    Args:
        table: codes of `out`, (2**bits,) for up to 8 bits (4 for bipolar), otherwise (K,) knots with `fraction`
            more bits. (C, ...) where each channel, on the last axis of x, has its own table.
        in_type: type of the input.
        out: type of the output, up to 16 bits.
        starts, shifts: start and k of each block, see `program.knots.Knots`; None where every block has one interval.
    """

    kind: ClassVar[str] = "lut"

    table: Ints
    in_type: IntType
    out: IntType
    starts: Ints | None = None
    shifts: Ints | None = None

    @classmethod
    def from_real(
        cls, x: QuantParams, y: QuantParams, function: Function, *, low: int | None = None, high: int | None = None
    ) -> Lut:
        """Make the table of a real function.

        Args:
            x, y: parameters of input and output, one scale each.
            function: float64 (K,) to float64 (K,), or (C, K) for a table per channel; infinite values saturate.
            low, high: clamp in output codes.
        Raises:
            LoweringError: the function is NaN at a point of the input's grid.
        """
        low, high = clamp_of(y, low, high)

        def steps(codes: NDArray[Any]) -> NDArray[np.float64]:
            with np.errstate(all="ignore"):
                real = np.asarray(function(scale_of(x) * (codes - zero_point_of(x))), np.float64)
                bad = np.isnan(real)
                if bad.any():
                    at = scale_of(x) * (codes[np.argwhere(bad)[0][-1]] - zero_point_of(x))
                    raise LoweringError(
                        f"table: the function of {at:.6g} is not a number; keep its input away from there"
                    )
                # Beyond 2**20 steps everything saturates; this keeps infinities out of the arithmetic below.
                return np.clip(real / scale_of(y), -(2.0**20), 2.0**20)

        first, finer, zero = first_entry(x.type), fraction(x.type, y.type), zero_point_of(y)
        if x.type.bits <= 8:
            table = np.rint(steps(np.arange(entries(x.type), dtype=np.float64) + first)) + zero
            return cls(np.clip(table, low, high).astype(y.type.dtype), x.type, y.type)
        made = place_knots(lambda codes: steps(codes) + zero, first, x.type.bits, finer, low, high)
        return cls(made.table.astype(np.int16 if finer else y.type.dtype), x.type, y.type, made.starts, made.shifts)

    @classmethod
    def from_slopes(
        cls, x: QuantParams, y: QuantParams, slopes: tuple[float, float], *, low: int | None, high: int | None
    ) -> Lut:
        """Make the table of `slopes[0] * x` below 0 and `slopes[1] * x` above, as TFLite's kernels compute it.

        Their factors are float32 (s_x * slope / s_y), and each is applied by the rule `tflite`.

        Args:
            x, y: parameters of input and output, one scale each; up to 8 bits.
            slopes: below and above 0.
            low, high: clamp in output codes.
        Source: TensorFlow Lite, reference_ops::QuantizeLeakyRelu; AbsEvalQuantized in kernels/elementwise.cc.
        """
        low, high = clamp_of(y, low, high)
        offsets = np.arange(entries(x.type), dtype=np.int32) + first_entry(x.type) - zero_point_of(x)
        table = np.full(offsets.shape, zero_point_of(y), np.int64)
        for slope, part in zip(slopes, (offsets < 0, offsets >= 0), strict=True):
            factor = np.float32(np.float32(x.scale) * np.float32(abs(slope))) / np.float32(y.scale)
            if factor:
                scaled = Requantize.from_real(float(factor), Rule.TFLITE).scale(offsets * (-1 if slope < 0 else 1))
                table[part] += scaled[part]
        return cls(np.clip(table, low, high).astype(y.type.dtype), x.type, y.type)

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check that there is one table, or one for each channel."""
        if self.table.ndim > 1:
            self.expect(
                self.table.shape[0] == inputs[0][-1],
                f"{self.table.shape[0]} tables do not fit an input of shape {inputs[0]}",
            )

    def check_types(self, *inputs: IntType) -> None:
        """Check that the table has an entry for every code, and that its entries are codes."""
        bits, knots = self.in_type.bits, self.table.shape[-1] if self.table.ndim else 0
        self.expect(inputs[0] == self.in_type and bits <= 16, f"expected an input of {self.in_type}, got {inputs[0]}")
        if bits > 8 and self.starts is not None and self.shifts is not None:
            problem = knots_problem(self.starts, self.shifts, knots, bits - 9)
            self.expect(not problem, problem)
            want = knots
        else:
            self.expect(self.starts is None and self.shifts is None, "expected starts and shifts of blocks, or neither")
            want = 513 if bits > 8 else entries(self.in_type)
        self.expect(
            self.table.ndim in (1, 2) and knots == want,
            f"expected tables of {want} entries for {self.in_type}, got shape {self.table.shape}",
        )
        finer = 1 << fraction(self.in_type, self.out)
        self.expect(
            self.table.dtype == (self.out.dtype if finer == 1 else np.int16)
            and self.out.bits <= 16
            and self.out.holds(self.table // finer)
            and self.out.holds(-(-self.table.astype(np.int32) // finer)),
            f"the table holds values that are no codes of {self.out}",
        )

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        offset = inputs[0].astype(np.int32) - np.int32(first_entry(self.in_type))
        if self.in_type.bits > 8:
            span, finer = self.in_type.bits - 9, fraction(self.in_type, self.out)
            return interpolate(self.table, self.starts, self.shifts, offset, span, finer).astype(self.out.dtype)
        found: Ints = self.table[offset] if self.table.ndim == 1 else self.table[np.arange(self.table.shape[0]), offset]
        return found

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover sigmoid, exp, a square root, a function for each channel; 1 to 16 bits; every 8-bit code."""
        types = (
            INT8,
            UINT8,
            INT16,
            UINT16,
            IntType(8, narrow=True),
            IntType(4),
            IntType(1, signed=False),
            BIPOLAR,
            IntType(9),
            IntType(12),
        )
        for type in types:
            scale = 12.0 / (1 << type.bits)
            for out in (INT8, UINT8, INT16):
                y = grid(out, 2.0**-8 if out.bits == 8 else 2.0**-15, out.qmin if out.bits == 8 else 0)
                x = params(rng, type, scale=scale)
                n = min(1 << type.bits, 600)
                data = codes(rng, type, (2, n, 3))
                every = np.array([-1, 1]) if type.bipolar else np.arange(type.qmin, type.qmax + 1)
                data[0, : min(n, 256), 0] = every[np.arange(min(n, 256)) % every.size].astype(type.dtype)
                yield cls.from_real(x, y, lambda v: 1 / (1 + np.exp(-v))), (data,)
                yield cls.from_real(x, y, np.exp, high=out.qmax - 1), (data,)
                yield cls.from_real(x, y, lambda v: np.sqrt(np.abs(v)) * np.sign(np.floor(v))), (data,)
                yield cls.from_real(x, y, lambda v: np.maximum(v, v * np.array([[0.1], [0.0], [-2.0]]))), (data,)
