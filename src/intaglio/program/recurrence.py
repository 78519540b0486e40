"""What the layers that loop over time share: the recurrent product, the gates' sums, and their tables.

    h = z_h of each unit (or `start`), s = 0 (or `state_start`) before the first step
    acc[k]  = sum_j (h[j] - z_h) * (w[k, j] - z_w[k])                    the product with the hidden state
    recurrent[k] = clamp(acc[k] * M[k], -2**20, 2**20)                      in Q14
    input[k]     = clamp((x[t, k] - z_x) * M_x, -2**20, 2**20)              in Q14; x: the product with the data
    gate(v) = clamp(rounding v >> 3, -limit, limit - 1)                     a sum in Q4.11

A function of a gate is read from 1025 knots, 64 codes apart, and interpolated (`program.knots`); its results are Q15:

    y = (table[i] * 64 + (table[i + 1] - table[i]) * r + 32) >> 6           i, r = divmod(code + 2**15, 64)

Sums saturate at 16, where sigmoid and tanh differ from their limits by less than 2**-23. Results of the tables are
within 1.3 (sigmoid) and 2.5 (tanh) steps of 2**-15 of the exact function of the code; the rounding of the sum before
them moves them by up to 2.5 and 10 steps more.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.errors import LoweringError
from intaglio.number import INT16, IntType, QuantParams, Requantize, Rule, exact_matmul
from intaglio.number.fixedpoint import rounding_shift_right
from intaglio.program.factors import counted, default_accumulator, needs_wide, scale_of, zero_point_of
from intaglio.program.field_bounds import Bound, Code
from intaglio.program.knots import even_knots, interpolate
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.weighted import bounds

GATE = 11
"""Bits behind the point of a gate's sum."""
FINER = 3
"""Further bits of the terms of that sum."""
TERM_MAX = 1 << 20
SPAN = 6
"""Knots of a table are 2**SPAN codes apart."""
KNOTS = (1 << (16 - SPAN)) + 1
ONE = 15
"""Bits behind the point of results of sigmoid and tanh."""

UNIT = IntType(1, signed=False)
Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def table(function: Function, fraction: int) -> Ints:
    """Make the knots of a function of a code with `fraction` bits behind the point; int16, (KNOTS,)."""

    def steps(codes: NDArray[np.float64]) -> NDArray[np.float64]:
        return function(codes * 2.0**-fraction) * 2.0**ONE

    return np.clip(even_knots(steps, INT16.qmin, 16, SPAN), INT16.qmin, INT16.qmax).astype(np.int16)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute 1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def read(knots: Ints, codes: Ints) -> Ints:
    """Read a table for 16-bit codes; int64, Q15."""
    return interpolate(knots, None, None, codes.astype(np.int32) + (1 << 15), SPAN, 0).astype(np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence(Operator):
    """The fields of every layer that loops over time.

    Its inputs are the product of data and input weights, (N, steps, K), and the initial states, (N, H) each, or none of
    these. Its output is the hidden state after each step, (N, steps, H), in codes of `hidden`; with `states`,
    (N, 2 steps, H) in int16: the hidden states, and behind them the 16-bit states.

    Args:
        weight: codes of `weight_type`, (K, H); K: H for each gate, in ONNX's order of gates.
        weight_zero_point: int32, () or (K,).
        bias: int32, Q14, added to the sums of the gates.
        x_zero_point: of the product with the data.
        x_factor: M_x, ().
        h_zero_point: z_h.
        requantize: M, () or (K,).
        to_hidden: from the new state to codes of the hidden state, ().
        limit: of the gates' sums, in codes.
        start: initial hidden state, (H,), where it is the same for all samples; None: 0.
        reverse: the loop begins at the last step.
        hidden: type of the hidden state.
        out: `hidden`, or int16 with `states`.
        states: whether the output holds the 16-bit states too.
        weight_type: of the weights.
    """

    operands: ClassVar[int | None] = None
    factors_beyond_scales: ClassVar[bool] = True
    bounds_factors: ClassVar[bool] = False
    gates: ClassVar[int]

    weight: Ints
    weight_zero_point: Ints
    bias: Ints
    x_zero_point: Code
    x_factor: Requantize
    h_zero_point: Code
    requantize: Requantize
    to_hidden: Requantize
    limit: Annotated[int, Bound(1, 1 << 15)]
    reverse: bool
    hidden: IntType
    out: IntType
    weight_type: IntType
    states: bool = False
    start: Ints | None = None

    @property
    def size(self) -> int:
        """Units of the hidden state."""
        return int(self.weight.shape[1])

    @property
    @abstractmethod
    def state_count(self) -> int:
        """How many initial states may be inputs."""

    @abstractmethod
    def step(self, inputs: Ints, hidden: Ints, state: Ints) -> tuple[Ints, Ints]:
        """Do one step.

        Args:
            inputs: terms of the gates' sums from the data, Q14, (N, K).
            hidden: codes, (N, H).
            state: 16-bit codes, (N, H); unused where the layer has none.
        Returns:
            The new hidden state and state.
        """

    @abstractmethod
    def begin(self, samples: int, given: tuple[Ints, ...]) -> tuple[Ints, Ints]:
        """Return hidden state and state before the first step, from the inputs behind the first."""

    def shape(self, *inputs: Shape) -> Shape:
        """(N, steps, K) to (N, steps, H), or (N, 2 steps, H)."""
        n, steps, _ = inputs[0]
        return (n, steps * (2 if self.states else 1), self.size)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return the field `out`."""
        return self.out

    def check(self, *inputs: Shape) -> None:
        """Check sizes of weights, biases, multipliers, initial states and inputs."""
        self.expect(self.weight.ndim == 2 and self.weight.size > 0, f"expected weights (K, H), got {self.weight.shape}")
        k, h = self.weight.shape
        self.expect(k == self.gates * h, f"expected {self.gates} gates of {h} units, got {k} rows of weights")
        self.expect(
            len(inputs[0]) == 3 and inputs[0][-1] == k and inputs[0][1] >= 1,
            f"expected products of shape (N, steps, {k}), got {inputs[0]}",
        )
        self.expect(
            len(inputs) in (1, 1 + self.state_count) and all(shape == (inputs[0][0], h) for shape in inputs[1:]),
            f"expected no or {self.state_count} initial states of shape {(inputs[0][0], h)}, got {inputs[1:]}",
        )
        for name, array in (("multipliers", self.requantize.multiplier), ("zero points", self.weight_zero_point)):
            self.expect(array.shape in ((), (k,)), f"expected 1 or {k} {name}, got shape {array.shape}")
        for name, factor in (("x_factor", self.x_factor), ("to_hidden", self.to_hidden)):
            self.expect(factor.multiplier.shape == () and not factor.wide, f"{name}: expected one factor, not wide")
        self.expect(
            self.bias.shape == (self.bias_size,)
            and self.bias.dtype == np.int32
            and bool((np.abs(self.bias.astype(np.int64)) <= TERM_MAX).all()),
            f"expected {self.bias_size} biases of int32 up to {TERM_MAX}, got {self.bias.shape} of {self.bias.dtype}",
        )
        self.expect(
            self.start is None
            or (self.start.shape == (h,) and self.start.dtype == self.hidden.dtype and self.hidden.holds(self.start)),
            f"expected an initial hidden state of shape {(h,)} in codes of {self.hidden}",
        )

    @property
    def bias_size(self) -> int:
        """Number of biases."""
        return int(self.weight.shape[0])

    def check_types(self, *inputs: IntType) -> None:
        """Check that terms fit 32 bits, and that the output holds what it is said to hold."""
        self.expect(inputs[0].bits <= 16, f"expected products of up to 16 bits, got {inputs[0]}")
        self.expect(
            self.hidden.bits <= 16 and not self.hidden.bipolar and self.weight_zero_point.dtype == np.int32,
            f"expected a hidden state of up to 16 bits, got {self.hidden}",
        )
        z = self.h_zero_point
        self.expect(self.hidden.qmin <= z <= self.hidden.qmax, f"h_zero_point {z} is no code of {self.hidden}")
        self.expect(
            self.out == (INT16 if self.states else self.hidden) and (not self.states or self.hidden.qmax < 1 << 15),
            f"expected an output of {INT16 if self.states else self.hidden}, got {self.out}",
        )
        self.expect(not self.states or self.has_state, "this layer has no 16-bit states")

    @property
    def has_state(self) -> bool:
        """Whether the layer has a 16-bit state."""
        return True

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """Bound the sums of the recurrent product, zero point included."""
        return _bound(self.weight, self.weight_zero_point, self.hidden, self.h_zero_point)

    def macs(self, *inputs: Shape) -> int:
        """Count the products of all steps."""
        return inputs[0][0] * inputs[0][1] * math.prod(self.weight.shape)

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the codes of the output."""
        hidden, state = self.run(*inputs)
        return np.concatenate([hidden.astype(np.int16), state], axis=1) if self.states else hidden

    def run(self, *inputs: Ints) -> tuple[Ints, Ints]:
        """Run all steps; hidden states, and states in int16, (N, steps, H) each."""
        n, steps, _ = inputs[0].shape
        terms = self.x_factor.scale(inputs[0].astype(np.int64) - self.x_zero_point)
        terms = np.clip(terms, -TERM_MAX, TERM_MAX)
        hidden, state = self.begin(n, inputs[1:])
        every = np.empty((n, steps, self.size), self.hidden.dtype)
        states = np.zeros((n, steps, self.size), np.int16)
        for t in range(steps)[:: -1 if self.reverse else 1]:
            hidden, state = self.step(terms[:, t], hidden, state)
            every[:, t], states[:, t] = hidden, self.state_codes(state)
        return every, states

    def state_codes(self, state: Ints) -> Ints:
        """Return the codes of the 16-bit state that are written."""
        return state

    def initial_hidden(self, samples: int) -> Ints:
        """Return the hidden state of every sample before the first step, where it is no input."""
        row = np.full(self.size, self.h_zero_point) if self.start is None else self.start
        return np.broadcast_to(row.astype(self.hidden.dtype), (samples, self.size))

    def recurrent(self, hidden: Ints, rows: slice = slice(None)) -> Ints:
        """Compute the terms from the hidden state, Q14, (N, K) or those of some rows of the weight."""
        zero_point = np.broadcast_to(self.weight_zero_point.reshape(-1), self.weight.shape[:1])
        weight = (self.weight.astype(np.int32) - zero_point[:, None])[rows]
        acc = exact_matmul(hidden.astype(np.int32) - self.h_zero_point, weight.T).astype(np.int64)
        return np.clip(_rows(self.requantize, rows).scale(acc), -TERM_MAX, TERM_MAX)

    def gate(self, total: Ints, limit: int | None = None) -> Ints:
        """Round a sum of terms to a gate's code."""
        limit = self.limit if limit is None else limit
        return np.clip(rounding_shift_right(total, FINER), -limit, limit - 1)

    def to_codes(self, value: Ints) -> Ints:
        """Round a new hidden state to its codes."""
        return self.to_hidden.apply(value, self.h_zero_point, self.hidden.qmin, self.hidden.qmax, self.hidden)


def _rows(factor: Requantize, rows: slice) -> Requantize:
    if not factor.multiplier.ndim or rows == slice(None):
        return factor
    return Requantize(factor.multiplier[rows], factor.shift[rows], factor.rule, factor.wide)


def _bound(weight: Ints, weight_zero_point: Ints, hidden: IntType, zero_point: int) -> int:
    """Bound the sums; kernels add the products of h itself to those of -z_h."""
    largest = bounds(weight, weight_zero_point, np.zeros(weight.shape[0], np.int64), hidden, 0).max()
    offset = bounds(weight, weight_zero_point, np.zeros(weight.shape[0], np.int64), UNIT, 0).max()
    return int(largest + offset * abs(zero_point))


def recurrence_fields(
    x: QuantParams,
    w: QuantParams,
    hidden: QuantParams,
    weight: Ints,
    bias: ArrayLike,
    rule: Rule,
    *,
    before_hidden: float,
    gate: float = 2.0**-GATE,
    clip: float | None = None,
    start: ArrayLike | None = None,
    reverse: bool = False,
    states: bool = False,
    accumulator: int | None = None,
) -> dict[str, Any]:
    """Derive the fields of `Recurrence` from quantization parameters.

    Args:
        x: of the product with the data, one scale.
        w: of the weight, 1 or K scales.
        hidden: of the hidden state, one scale.
        weight: codes of w.type, (K, H).
        bias: real.
        rule: of rounding.
        before_hidden: scale of what is rounded to the hidden state.
        gate: scale of a gate's sum.
        clip: real bound of the gates' sums.
        start: real initial hidden state, (H,).
        reverse, states: see `Recurrence`.
        accumulator: bits that the target has, 32 or 64.
    Raises:
        LoweringError: an accumulator may overflow, or a factor is out of range.
    """
    if hidden.type.bipolar or w.scale.size not in (1, weight.shape[0]):
        raise LoweringError(
            f"expected a hidden state of 2 to 16 bits and one scale, or one per row, of its weight; got {hidden.type} "
            f"and {w.scale.size} scales for {weight.shape[0]} rows"
        )
    accumulator = default_accumulator(hidden.type, rule) if accumulator is None else accumulator
    zero_points = w.zero_point.astype(np.int32)
    if zero_points.size == 1 or not zero_points.any():
        zero_points = np.asarray(zero_points.reshape(-1)[0], np.int32)
    wide = needs_wide(_bound(weight, zero_points, hidden.type, zero_point_of(hidden)), accumulator)
    term = gate * 2.0**-FINER
    scales = w.scale.astype(np.float64).reshape(() if w.scale.size == 1 else (-1,))
    codes = np.rint(np.asarray(bias, np.float64) / term)
    limit = 1 << 15 if clip is None else int(np.clip(np.rint(clip / gate), 1, 1 << 15))
    return {
        "weight": weight.astype(w.type.dtype),
        "weight_zero_point": zero_points,
        "weight_type": w.type,
        "bias": np.clip(codes, -TERM_MAX, TERM_MAX).astype(np.int32),
        "x_zero_point": zero_point_of(x),
        "x_factor": counted(scale_of(x) / term, rule),
        "h_zero_point": zero_point_of(hidden),
        "requantize": counted(scale_of(hidden) * scales / term, rule, wide=wide),
        "to_hidden": counted(before_hidden / scale_of(hidden), rule),
        "limit": limit,
        "reverse": reverse,
        "hidden": hidden.type,
        "out": INT16 if states else hidden.type,
        "states": states,
        "start": None if start is None else hidden.quantize(np.asarray(start, np.float32)),
    }


def state_bits(state: QuantParams) -> int:
    """Return n of a state with the scale 2**-n.

    Raises:
        LoweringError: it has another scale, another type, or a zero point.
    """
    scale = scale_of(state)
    bits = -round(math.log2(scale))
    if state.type != INT16 or scale != 2.0**-bits or zero_point_of(state) or bits < 0:
        raise LoweringError(
            f"state: expected int16 with a scale 2**-n, n from 0 on, and zero point 0, got {state.type} with scale "
            f"{scale:.6g} and zero point {zero_point_of(state)}"
        )
    return bits
