"""Requantization as the vector kernels do it: the cheapest exact form for some channels, and its constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.kernels.vector.vector_isas import Ints
from intaglio.number import IntType, Requantize, Rule
from intaglio.program.weighted import Weighted, bounds

LARGEST = 1 << 31


@dataclass(frozen=True)
class Factors:
    """Factors of some channels.

    Args:
        multiplier, shift: int64, (C,), as in `Requantize`; a multiplier of 0 maps every accumulator to 0.
        bound: int64, (C,), which no accumulator exceeds in magnitude.
        rule: the rounding rule.
        wide: accumulators of more than 32 bits.
        zero_point: of the output.
    """

    multiplier: Ints
    shift: Ints
    bound: Ints
    rule: Rule
    wide: bool
    zero_point: int

    @classmethod
    def of(cls, op: Weighted, x: IntType) -> Factors:
        """Those of an operator with weights, `quieted`."""
        bound = bounds(op.weight, op.weight_zero_point, op.bias, x, op.x_zero_point)
        return cls.plain(op.requantize, op.y_zero_point, bound).quieted()

    def quieted(self) -> Factors:
        """Make a factor that maps every accumulator to 0, as a dead channel's does, 0 with the shift 2.

        Its own shift may be one that only the longer forms take.
        """
        if self.rule is not Rule.HALF_UP or self.wide:
            return self
        quiet = (self.bound < LARGEST) & (self.bound * self.multiplier < np.int64(1) << (30 + self.shift))
        multiplier, shift = np.where(quiet, 0, self.multiplier), np.where(quiet, 2, self.shift)
        return Factors(multiplier, shift, self.bound, self.rule, self.wide, self.zero_point)

    @classmethod
    def plain(cls, factor: Requantize, zero_point: int, bound: Ints) -> Factors:
        """A factor as it is, for as many channels as there are bounds."""
        m = np.broadcast_to(factor.multiplier.reshape(-1), bound.shape).astype(np.int64)
        s = np.broadcast_to(factor.shift.reshape(-1), bound.shape).astype(np.int64)
        return cls(m, s, bound, factor.rule, factor.wide, zero_point)

    def form(self, forms: tuple[str, ...], channels: Ints | None = None) -> str | None:
        """The first of `forms` that is exact for these channels; None where none is.

        Args:
            forms: that the instruction set has, cheapest first.
            channels: all where None; -1 is skipped.
        """
        some = np.arange(self.shift.size) if channels is None else np.unique(channels[channels >= 0])
        if self.wide:
            return None
        return next((form for form in forms if self._exact(form, some)), None)

    def _exact(self, form: str, some: Ints) -> bool:
        s, bound = self.shift[some], self.bound[some]
        if form == "shift":
            return self.rule is Rule.SHIFT and bool((s >= 1).all())
        if form == "tflite":
            return self.rule is Rule.TFLITE and bool((s >= 0).all())
        if form == "even":  # powers of two; others have no ties, and come as `half_up`
            halves = bound + (np.int64(1) << np.maximum(s, 0))
            powers = self.multiplier[some] == 1 << 30
            return self.rule is Rule.HALF_EVEN and bool((powers & (s >= 0) & (halves < LARGEST)).all())
        if self.rule is not Rule.HALF_UP:
            return False
        if form == "left":
            left = np.maximum(2 - s, 0)
            if (left > 30).any() or (bound << left >= LARGEST).any():
                return False
            s = s + left
        if form in ("fast", "left"):
            # (acc * multiplier) >> 32 is below 2**30 in magnitude; the addend must leave the sum below 2**31.
            if (s < 2).any() or (s > 31).any():
                return False
            return bool(((1 << 30) + (1 << (s - 2)) + abs(self.zero_point) * (1 << (s - 1)) < LARGEST).all())
        return form == "half_up"

    def records(self, form: str, channels: Ints) -> Ints:
        """The constants of a form, in the order in which the headers' `ig_load_factor_<form>` reads them.

        Args:
            form: exact for these channels.
            channels: (vectors, lanes), the channel of each lane; -1 for none.
        Returns:
            int32, (vectors, vectors of a record, lanes).
        """
        real = channels >= 0
        m = np.where(real, self.multiplier[np.maximum(channels, 0)], 0)
        s = np.where(real, self.shift[np.maximum(channels, 0)], 2)
        odd = np.zeros_like(m)
        odd[:, 0::2] = m[:, 1::2]
        zero = np.full_like(m, self.zero_point)
        left = np.maximum(2 - s, 0)
        if form in ("fast", "left"):
            t = s + left
            rows = [m, odd, (1 << (t - 2)) + self.zero_point * (1 << (t - 1)), t - 1]
            rows += [left] if form == "left" else []
        elif form == "half_up":
            halves = [(np.int64(1) << (30 + s[:, k::2])).view(np.int32) for k in (0, 1)]
            shifts = [(31 + s[:, k::2]).view(np.int32) for k in (0, 1)]
            rows = [m, odd, *halves, *shifts, zero]
        elif form == "tflite":
            mask = (np.int64(1) << s) - 1
            rows = [m, odd, mask, mask >> 1, s, zero]
        elif form == "even":
            rows = [s + 1, (np.int64(1) << s) - 1, zero]
        else:
            rows = [s, s - 1, zero]
        return np.stack(rows, axis=1).astype(np.int32)
