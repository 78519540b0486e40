"""Requantization: from accumulators to the output grid, under one rounding rule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.errors import LoweringError
from intaglio.number import fixedpoint as fx
from intaglio.number.types import IntType


class Rule(Enum):
    """The rounding rule of a program; set by its target, never by a build."""

    HALF_UP = "half_up"  # one rounding of the exact product, ties up
    HALF_EVEN = "half_even"  # one rounding, ties to even (ONNX QuantizeLinear)
    HALF_AWAY = "half_away"  # one rounding, ties away from zero (FULLY_CONNECTED of TFLite)
    TFLITE = "tflite"  # saturating rounding doubling high multiply, then rounding division (gemmlowp)
    SHIFT = "shift"  # power-of-two factors only


@dataclass(frozen=True, eq=False)
class Requantize:
    """Multiplication of accumulators by a positive real factor, in integers.

        half_up:  (acc * multiplier + 2**(30 + shift)) >> (31 + shift)
        half_even, half_away: half_up, minus 1 where the product is a tie and the result odd, or the product negative
        tflite:   RoundingDivideByPOT(SRDHM(saturating acc << max(-shift, 0), multiplier), max(shift, 0))
        shift:    (acc + 2**(shift - 1)) >> shift, a saturating left shift where shift <= 0; `multiplier` is not used

    Args:
        multiplier: int32, () or (C,), in [2**30, 2**31); more axes where the factor depends on a position. Rule
            `tflite`: from 2**29 on, because TFLite divides some multipliers by a count.
        shift: int32, same shape, in [-30, 31]; positive means right. Wide: [-14, 47]. Rule `shift`: [-31, 31].
        rule: the rounding rule.
        wide: accumulators have up to 48 bits; the multiplier then has 15 significant bits (its low 16 are zero), so
            that the product fits 63.
    Source: Jacob et al. 2018, arXiv:1712.05877, eq. (5)-(6).
    """

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    rule: Rule = Rule.HALF_UP
    wide: bool = False

    @classmethod
    def from_real(cls, factor: ArrayLike, rule: Rule, *, wide: bool = False) -> Requantize:
        """The integers that stand for a real factor, () or (C,).

        Raises:
            LoweringError: the factor is out of range, or no power of two under the rule `shift`.
        """
        if rule is Rule.SHIFT:
            shift = fx.power_of_two_shift(factor)
            return cls(np.full(shift.shape, 1 << 30, np.int32), shift, rule, wide)
        if wide and rule is Rule.TFLITE:
            raise LoweringError("rule tflite: accumulators of more than 32 bits are not defined; use half_up")
        multiplier, shift = fx.decompose_multiplier(factor, 15 if wide else fx.MULTIPLIER_BITS)
        return cls(multiplier, shift, rule, wide)

    def problem(self) -> str | None:
        """What is wrong with the integers (a file may lie), None where they are as the class says."""
        if self.multiplier.shape != self.shift.shape:
            return f"multiplier and shift differ in shape: {self.multiplier.shape} and {self.shift.shape}"
        if self.multiplier.dtype != np.int32 or self.shift.dtype != np.int32:
            return f"multiplier and shift must be int32, got {self.multiplier.dtype} and {self.shift.dtype}"
        if not self.multiplier.size:
            return "multiplier is empty"
        least = 29 if self.rule is Rule.TFLITE else 30
        if (self.multiplier < 1 << least).any():
            return f"multiplier is not normalised: expected 2**{least} to 2**31 - 1, got {int(self.multiplier.min())}"
        if self.wide and (self.rule is Rule.TFLITE or (self.multiplier & 0xFFFF).any()):
            return "a wide multiplier has 15 significant bits, and rule tflite has none"
        bits = 15 if self.wide else fx.MULTIPLIER_BITS
        low, high = (-31, 31) if self.rule is Rule.SHIFT else (1 - bits, 62 - bits)
        if (self.shift < low).any() or (self.shift > high).any():
            return f"shift: expected {low} to {high}, got {int(self.shift.min())} to {int(self.shift.max())}"
        return None

    @property
    def limit(self) -> int:
        """Accumulators must be smaller than this in magnitude."""
        return 1 << (47 if self.wide else 31)

    @property
    def real(self) -> NDArray[np.float64]:
        """The factor that the integers stand for."""
        if self.rule is Rule.SHIFT:
            return np.exp2(-self.shift.astype(np.float64))
        return np.asarray(self.multiplier * np.exp2(-31.0 - self.shift))

    def ties(self, bound: int) -> bool:
        """Whether an accumulator of up to `bound` in magnitude makes a product that lies halfway between two results.

        Under the rules that differ in ties alone, `half_up` gives the same integers where none does.
        """
        multiplier, shift = self.multiplier.astype(np.int64), self.shift.astype(np.int64)
        zeros = fx.floor_log2(multiplier & -multiplier)  # trailing zeros
        # acc * multiplier is an odd multiple of 2**(30 + shift): acc has all the zeros that the multiplier lacks.
        lacking = 30 + shift - zeros
        return bool(((lacking >= 0) & (np.int64(1) << np.clip(lacking, 0, 62) <= bound)).any())

    def scale(self, acc: NDArray[Any]) -> NDArray[np.int64]:
        """Multiply, without zero point or clamp.

        Args:
            acc: integers, (..., C), or any shape where the factor is a scalar; |acc| < `limit`.
        Returns:
            int64, shape of acc.
        """
        acc = acc.astype(np.int64)
        shift = self.shift.astype(np.int64)
        if self.rule in (Rule.HALF_UP, Rule.HALF_EVEN, Rule.HALF_AWAY):
            low = 16 if self.wide else 0  # the product of 47 and 15 bits fits; 47 and 31 would not
            right = fx.MULTIPLIER_BITS - low + shift  # at least 1, so that the rounding constant is plain
            acc *= self.multiplier.astype(np.int64) >> low
            if self.rule is Rule.HALF_EVEN:
                return fx.rounding_shift_right_even(acc, right)
            if self.rule is Rule.HALF_AWAY:
                return fx.rounding_shift_right_away(acc, right)
            acc += np.int64(1) << (right - 1)
            acc >>= right
            return acc
        left, right = np.maximum(-shift, 0), np.maximum(shift, 0)
        if self.rule is Rule.TFLITE:
            shifted = fx.saturating_shift_left(acc, left)
            high = fx.saturating_rounding_doubling_high_multiply(shifted, self.multiplier)
            return fx.rounding_divide_by_pot(high, right)
        return np.where(shift > 0, fx.rounding_shift_right(acc, right), fx.saturating_shift_left(acc, left))

    def apply(self, acc: NDArray[Any], zero_point: int, low: int, high: int, out: IntType) -> NDArray[Any]:
        """Map accumulators onto the output grid: `clamp(zero_point + scale(acc), low, high)`.

        Args:
            acc: as for `scale`.
            zero_point: of the output.
            low, high: clamp bounds in output codes (a fused activation, or the type's own range).
            out: type of the result.
        Returns:
            Codes of type `out`, shape of acc.
        """
        y = np.asanyarray(self.scale(acc))  # a single number too, so that the rest can be done in place
        y += zero_point
        return np.clip(y, low, high, out=y).astype(out.dtype)
