"""Long short-term memory: a loop over time with a 16-bit cell state.

    i, o, f = sigmoid(gate(input + recurrent + bias)),   g = tanh(...)                     Q15; see `program.recurrence`
    c = clamp(rounding (f * c + rounding (i * g) >> (15 - n)) >> 15, -2**15, 2**15 - 1)     the cell state, 2**-n a step
    h = clamp(z_h + o * tanh(c) * M_h, qmin, qmax)                                          tanh(c): of c << `finer`

Rows of weights and biases are in ONNX's order: i, o, f, g. With `states`, the written cell states are c << `gain`,
saturated: n is at most 15, so that f * c + i * g fits 32 bits.

Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget gate).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Rule
from intaglio.number.fixedpoint import rounding_shift_right, saturate, saturating_shift_left
from intaglio.program.field_bounds import Bound
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.recurrence import (
    GATE,
    KNOTS,
    ONE,
    Recurrence,
    read,
    recurrence_fields,
    sigmoid,
    state_bits,
    table,
)
from intaglio.program.sampling import codes, grid, params


@dataclass(frozen=True, eq=False, kw_only=True)
class Lstm(Recurrence):
    """Computes the equation of the module.

    Args:
        sigmoid_table, tanh_table: of the gates, int16.
        state_table: tanh of a cell state, int16.
        finer: bits by which a cell state is shifted left, and saturated, before `state_table` is read: where n is below
            11, knots 64 codes apart would be too far apart for tanh.
        state_shift: 15 - n.
        gain: bits by which written cell states are finer than the loop's.
        state_start: initial cell state, int16, (H,), where it is the same for all samples; None: 0.
    """

    kind: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4

    sigmoid_table: Ints
    tanh_table: Ints
    state_table: Ints
    state_shift: Annotated[int, Bound(0, ONE)]
    gain: Annotated[int, Bound(0, 31)] = 0
    finer: Annotated[int, Bound(1, GATE)] | None = None
    state_start: Ints | None = None

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        w: QuantParams,
        hidden: QuantParams,
        state: QuantParams,
        weight: Ints,
        bias: ArrayLike,
        rule: Rule,
        *,
        start: ArrayLike | None = None,
        state_start: ArrayLike | None = None,
        reverse: bool = False,
        states: bool = False,
        clip: float | None = None,
        accumulator: int | None = None,
    ) -> Lstm:
        """Derive the integers; see `recurrence_fields`.

        Args:
            state: parameters of the cell state: int16, power-of-two scale.
            state_start: real initial cell state, (H,).
        """
        bits = state_bits(state)
        inner = min(bits, ONE)
        fields = recurrence_fields(
            x,
            w,
            hidden,
            weight,
            bias,
            rule,
            before_hidden=2.0 ** (-2 * ONE),
            clip=clip,
            start=start,
            reverse=reverse,
            states=states,
            accumulator=accumulator,
        )
        begin = None if state_start is None else np.rint(np.asarray(state_start, np.float64) * 2.0**inner)
        return cls(
            **fields,
            sigmoid_table=table(sigmoid, GATE),
            tanh_table=table(np.tanh, GATE),
            state_table=table(np.tanh, max(inner, GATE)),
            finer=GATE - inner if inner < GATE else None,
            state_shift=ONE - inner,
            gain=min(bits - inner, 31),
            state_start=None if begin is None else np.clip(begin, INT16.qmin, INT16.qmax).astype(np.int16),
        )

    @property
    def state_count(self) -> int:
        """Hidden state and cell state."""
        return 2

    def check(self, *inputs: Shape) -> None:
        """Check the tables and the initial cell state too."""
        super().check(*inputs)
        for knots in (self.sigmoid_table, self.tanh_table, self.state_table):
            self.expect(
                knots.shape == (KNOTS,) and knots.dtype == np.int16, f"expected tables of {KNOTS} knots of int16"
            )
        self.expect(bool((self.sigmoid_table >= 0).all()), "expected a table of a sigmoid: no knot below 0")
        self.expect(
            self.state_start is None or (self.state_start.shape == (self.size,) and self.state_start.dtype == np.int16),
            f"expected an initial cell state of {self.size} codes of int16",
        )

    def check_types(self, *inputs: IntType) -> None:
        """Check that initial states are codes of hidden state and cell state."""
        super().check_types(*inputs)
        self.expect(
            len(inputs) == 1 or inputs[1:] == (self.hidden, INT16),
            f"expected initial states of {self.hidden} and {INT16}, got {inputs[1:]}",
        )

    def begin(self, samples: int, given: tuple[Ints, ...]) -> tuple[Ints, Ints]:
        """Return the given states, or those that all samples share."""
        if given:
            return given[0], given[1].astype(np.int64)
        row = np.zeros(self.size, np.int64) if self.state_start is None else self.state_start.astype(np.int64)
        return self.initial_hidden(samples), np.broadcast_to(row, (samples, self.size))

    def step(self, inputs: Ints, hidden: Ints, state: Ints) -> tuple[Ints, Ints]:
        """Do one step."""
        i, o, f, g = np.split(self.gate(inputs + self.recurrent(hidden) + self.bias), 4, axis=-1)
        i, o, f = (read(self.sigmoid_table, gate) for gate in (i, o, f))
        # |f c| <= 32767 * 32768 and |i g| >> (15 - n) <= 32767 * 32768, so that the sum stays below 2**31 - 2**15.
        total = f * state + rounding_shift_right(i * read(self.tanh_table, g), self.state_shift)
        state = saturate(rounding_shift_right(total, ONE), INT16.qmin, INT16.qmax)
        finer = saturate(state << (self.finer or 0), INT16.qmin, INT16.qmax)
        return self.to_codes(o * read(self.state_table, finer)), state

    def state_codes(self, state: Ints) -> Ints:
        """Return the codes that are written: finer ones where n is above 15."""
        return saturate(saturating_shift_left(state, self.gain), INT16.qmin, INT16.qmax, np.int16)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover one and many units, steps and samples; 4, 8 and 16 bits; states in and out; every rule; saturation."""
        rows: list[tuple[int, int, int, Rule, IntType, int]] = [
            (1, 1, 1, Rule.HALF_UP, UINT8, 12),
            (2, 5, 7, Rule.TFLITE, INT8, 12),
            (1, 4, 16, Rule.SHIFT, INT8, 13),
            (3, 3, 33, Rule.HALF_UP, INT16, 9),
            (1, 2, 64, Rule.HALF_EVEN, UINT8, 15),
            (1, 3, 24, Rule.HALF_UP, INT8, 17),
            (2, 2, 40, Rule.HALF_AWAY, UINT8, 10),
        ]
        for index, (n, steps, h, rule, type, bits) in enumerate(rows):
            x = params(rng, INT16 if index % 3 else UINT8, rule, 0.0005 if index % 3 else 0.06)
            w = grid(
                IntType(4) if index == 4 else INT8, 2.0**-6 if rule is Rule.SHIFT else rng.uniform(0.005, 0.03, 4 * h)
            )
            hidden = params(rng, type, rule, 1.6 / (1 << type.bits), symmetric=type is INT16)
            for states in (False, True):
                operator = cls.from_real(
                    x,
                    w,
                    hidden,
                    grid(INT16, 2.0**-bits),
                    codes(rng, w.type, (4 * h, h), extreme=index == 5),
                    rng.uniform(-1, 1, 4 * h),
                    rule,
                    start=None if index % 2 else rng.uniform(-1, 1, h),
                    state_start=None if index % 2 else rng.uniform(-1, 1, h),
                    reverse=index in (1, 3),
                    states=states,
                    clip=2.5 if index == 2 else None,
                )
                data = codes(rng, x.type, (n, steps, 4 * h))
                given = (codes(rng, type, (n, h)), codes(rng, INT16, (n, h))) if states and n < 3 else ()
                yield operator, (data, *given)
