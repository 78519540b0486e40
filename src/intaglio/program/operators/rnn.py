"""Elman's recurrent layer: a loop over time with one gate.

    h = clamp(z_h + tanh(gate(input + recurrent + bias)) * M_h, qmin, qmax)         see `program.recurrence`
    h = clamp(z_h + max(gate(...), 0) * M_h, qmin, qmax)                            without a table: a rectifier

A rectifier's sums have a step of 2**-m instead of 2**-11, such that they cover the range of the hidden state.

Source: Elman 1990.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Rule
from intaglio.program.factors import scale_of, zero_point_of
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.recurrence import GATE, KNOTS, ONE, Recurrence, read, recurrence_fields, table
from intaglio.program.sampling import codes, grid, params


@dataclass(frozen=True, eq=False, kw_only=True)
class Rnn(Recurrence):
    """Computes the equation of the module.

    Args:
        tanh_table: int16; None: a rectifier.
    """

    kind: ClassVar[str] = "rnn"
    gates: ClassVar[int] = 1

    tanh_table: Ints | None = None

    @classmethod
    def from_real(
        cls,
        x: QuantParams,
        w: QuantParams,
        hidden: QuantParams,
        weight: Ints,
        bias: ArrayLike,
        rule: Rule,
        *,
        rectifier: bool,
        start: ArrayLike | None = None,
        reverse: bool = False,
        clip: float | None = None,
        accumulator: int | None = None,
    ) -> Rnn:
        """Derive the integers; see `recurrence_fields`. With `rectifier` in place of tanh."""
        largest = scale_of(hidden) * (hidden.type.qmax - zero_point_of(hidden))
        gate = 2.0 ** math.ceil(math.log2(max(largest, 1e-6) / INT16.qmax)) if rectifier else 2.0**-GATE
        fields = recurrence_fields(
            x,
            w,
            hidden,
            weight,
            bias,
            rule,
            before_hidden=gate if rectifier else 2.0**-ONE,
            gate=gate,
            clip=clip,
            start=start,
            reverse=reverse,
            accumulator=accumulator,
        )
        return cls(**fields, tanh_table=None if rectifier else table(np.tanh, GATE))

    @property
    def state_count(self) -> int:
        """The hidden state."""
        return 1

    @property
    def has_state(self) -> bool:
        """The hidden state is all."""
        return False

    def check(self, *inputs: Shape) -> None:
        """Check the table too."""
        super().check(*inputs)
        self.expect(
            self.tanh_table is None or (self.tanh_table.shape == (KNOTS,) and self.tanh_table.dtype == np.int16),
            f"expected a table of {KNOTS} knots of int16",
        )

    def check_types(self, *inputs: IntType) -> None:
        """Check that the initial state is one of the hidden state's codes."""
        super().check_types(*inputs)
        self.expect(inputs[1:] in ((), (self.hidden,)), f"expected an initial state of {self.hidden}, got {inputs[1:]}")

    def begin(self, samples: int, given: tuple[Ints, ...]) -> tuple[Ints, Ints]:
        """Return the given state, or the one that all samples share."""
        return given[0] if given else self.initial_hidden(samples), np.zeros((samples, self.size), np.int64)

    def step(self, inputs: Ints, hidden: Ints, state: Ints) -> tuple[Ints, Ints]:
        """Do one step."""
        total = self.gate(inputs + self.recurrent(hidden) + self.bias)
        return self.to_codes(np.maximum(total, 0) if self.tanh_table is None else read(self.tanh_table, total)), state

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover tanh and rectifier; units, steps, samples; 8 and 16 bits; a given state; every rule."""
        rows: list[tuple[int, int, int, Rule, IntType]] = [
            (1, 1, 1, Rule.HALF_UP, UINT8),
            (2, 5, 7, Rule.TFLITE, INT8),
            (1, 4, 16, Rule.SHIFT, INT8),
            (3, 3, 33, Rule.HALF_UP, INT16),
            (1, 2, 64, Rule.HALF_EVEN, UINT8),
            (2, 3, 40, Rule.HALF_AWAY, UINT8),
        ]
        for index, (n, steps, h, rule, type) in enumerate(rows):
            x = params(rng, INT16 if index % 3 else UINT8, rule, 0.0005 if index % 3 else 0.06)
            w = grid(INT8, 2.0**-6 if rule is Rule.SHIFT else rng.uniform(0.005, 0.03, h))
            hidden = params(rng, type, rule, 1.6 / (1 << type.bits), symmetric=type is INT16)
            for rectifier in (False, True):
                operator = cls.from_real(
                    x,
                    w,
                    hidden,
                    codes(rng, INT8, (h, h)),
                    rng.uniform(-1, 1, h),
                    rule,
                    rectifier=rectifier,
                    start=None if index % 2 else rng.uniform(-1, 1, h),
                    reverse=index in (1, 3),
                    clip=2.5 if index == 2 else None,
                )
                given = (codes(rng, type, (n, h)),) if rectifier else ()
                yield operator, (codes(rng, x.type, (n, steps, h)), *given)
