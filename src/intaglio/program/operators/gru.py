"""Gated recurrent unit: a loop over time whose hidden state is kept in 16 bits.

    z, r = sigmoid(gate(input + recurrent + bias))                                  Q15; see `program.recurrence`
    g = tanh(gate(input + bias + rounding (r * gate(recurrent + bias_r)) >> 12))    with `linear_before_reset`
    g = tanh(gate(input + bias + recurrent of h(rounding r * s >> 15)))             without
    s = clamp(rounding (z * s + rounding ((2**15 - z) * g) >> (15 - n)) >> 15)      the state, 2**-n a step
    h(s) = clamp(z_h + s * M_h, qmin, qmax)                                         hidden state, which products read

The gate of a recurrent product that is reset later has the limit 2**15, whatever the layer's own is. Rows of weights
are in ONNX's order: z, r, g; biases too, and those of the recurrent product of g, bias_r, come last where
`linear_before_reset` is set. With `states`, the written states are s << `gain`, saturated: n is at most 15.

Source: Cho et al. 2014, arXiv:1406.1078, section 2.3.
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
    FINER,
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
class Gru(Recurrence):
    """Computes the equation of the module.

    Args:
        sigmoid_table, tanh_table: of the gates, int16.
        linear_before_reset: the reset gate multiplies the recurrent product, not the hidden state before it.
        state_shift: 15 - n.
        gain: bits by which written states are finer than the loop's.
        state_start: initial state, int16, (H,), where it is the same for all samples; None: 0.
    """

    kind: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3

    sigmoid_table: Ints
    tanh_table: Ints
    linear_before_reset: bool
    state_shift: Annotated[int, Bound(0, ONE)]
    gain: Annotated[int, Bound(0, 31)] = 0
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
        linear_before_reset: bool,
        state_start: ArrayLike | None = None,
        reverse: bool = False,
        states: bool = False,
        clip: float | None = None,
        accumulator: int | None = None,
    ) -> Gru:
        """Derive the integers; see `recurrence_fields`.

        Args:
            state: parameters of the state: int16, power-of-two scale.
            linear_before_reset: see the class.
            state_start: real initial state, (H,).
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
            before_hidden=2.0**-inner,
            clip=clip,
            reverse=reverse,
            states=states,
            accumulator=accumulator,
        )
        begin = None if state_start is None else np.rint(np.asarray(state_start, np.float64) * 2.0**inner)
        return cls(
            **fields,
            sigmoid_table=table(sigmoid, GATE),
            tanh_table=table(np.tanh, GATE),
            linear_before_reset=linear_before_reset,
            state_shift=ONE - inner,
            gain=min(bits - inner, 31),
            state_start=None if begin is None else np.clip(begin, INT16.qmin, INT16.qmax).astype(np.int16),
        )

    @property
    def state_count(self) -> int:
        """The state."""
        return 1

    @property
    def bias_size(self) -> int:
        """Those of the recurrent product of g are separate with `linear_before_reset`."""
        return (4 if self.linear_before_reset else 3) * self.size

    def check(self, *inputs: Shape) -> None:
        """Check the tables and the initial state too."""
        super().check(*inputs)
        for knots in (self.sigmoid_table, self.tanh_table):
            self.expect(
                knots.shape == (KNOTS,) and knots.dtype == np.int16, f"expected tables of {KNOTS} knots of int16"
            )
        self.expect(bool((self.sigmoid_table >= 0).all()), "expected a table of a sigmoid: no knot below 0")
        self.expect(self.start is None, "expected no initial hidden state beside the 16-bit state")
        self.expect(
            self.state_start is None or (self.state_start.shape == (self.size,) and self.state_start.dtype == np.int16),
            f"expected an initial state of {self.size} codes of int16",
        )

    def check_types(self, *inputs: IntType) -> None:
        """Check that the initial state is in int16."""
        super().check_types(*inputs)
        self.expect(inputs[1:] in ((), (INT16,)), f"expected an initial state of {INT16}, got {inputs[1:]}")

    def begin(self, samples: int, given: tuple[Ints, ...]) -> tuple[Ints, Ints]:
        """Return the given state, or the one that all samples share."""
        row = np.zeros(self.size, np.int64) if self.state_start is None else self.state_start.astype(np.int64)
        state = given[0].astype(np.int64) if given else np.broadcast_to(row, (samples, self.size))
        return self.to_codes(state), state

    def step(self, inputs: Ints, hidden: Ints, state: Ints) -> tuple[Ints, Ints]:
        """Do one step."""
        h = self.size
        before = inputs + self.bias[: 3 * h]
        two = slice(0, 2 * h)
        z, r = np.split(self.gate(before[:, two] + self.recurrent(hidden, two)), 2, axis=-1)
        z, r = read(self.sigmoid_table, z), read(self.sigmoid_table, r)
        rows = slice(2 * h, 3 * h)
        if self.linear_before_reset:
            product = self.gate(self.recurrent(hidden, rows) + self.bias[3 * h :], 1 << 15)
            after = rounding_shift_right(r * product, ONE - FINER)
        else:
            after = self.recurrent(self.to_codes(rounding_shift_right(r * state, ONE)), rows)
        g = read(self.tanh_table, self.gate(before[:, rows] + after))
        total = z * state + rounding_shift_right(((1 << ONE) - z) * g, self.state_shift)
        state = saturate(rounding_shift_right(total, ONE), INT16.qmin, INT16.qmax)
        return self.to_codes(state), state

    def state_codes(self, state: Ints) -> Ints:
        """Return the codes that are written: finer ones where n is above 15."""
        return saturate(saturating_shift_left(state, self.gain), INT16.qmin, INT16.qmax, np.int16)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover both places of the reset gate; units, steps, samples; 8 and 16 bits; states in and out; every rule."""
        rows: list[tuple[int, int, int, Rule, IntType, int]] = [
            (1, 1, 1, Rule.HALF_UP, UINT8, 15),
            (2, 5, 7, Rule.TFLITE, INT8, 14),
            (1, 4, 16, Rule.SHIFT, INT8, 15),
            (3, 3, 33, Rule.HALF_UP, INT16, 12),
            (1, 2, 64, Rule.HALF_EVEN, UINT8, 15),
            (1, 3, 24, Rule.HALF_UP, INT8, 16),
            (2, 2, 40, Rule.HALF_AWAY, UINT8, 15),
        ]
        for index, (n, steps, h, rule, type, bits) in enumerate(rows):
            x = params(rng, INT16 if index % 3 else UINT8, rule, 0.0005 if index % 3 else 0.06)
            w = grid(INT8, 2.0**-6 if rule is Rule.SHIFT else rng.uniform(0.005, 0.03, 3 * h))
            hidden = params(rng, type, rule, 1.6 / (1 << type.bits), symmetric=type is INT16)
            for linear in (False, True):
                operator = cls.from_real(
                    x,
                    w,
                    hidden,
                    grid(INT16, 2.0**-bits),
                    codes(rng, INT8, (3 * h, h), extreme=index == 5),
                    rng.uniform(-1, 1, (4 if linear else 3) * h),
                    rule,
                    linear_before_reset=linear,
                    state_start=None if index % 2 else rng.uniform(-1, 1, h),
                    reverse=index in (1, 3),
                    states=linear == bool(index % 2),
                    clip=2.5 if index == 2 else None,
                )
                data = codes(rng, x.type, (n, steps, 3 * h))
                given = (codes(rng, INT16, (n, h)),) if operator.states and n < 3 else ()
                yield operator, (data, *given)
