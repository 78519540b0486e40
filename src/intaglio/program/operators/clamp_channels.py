"""Clamp with bounds per channel, without a change of scale.   y = min(max(x, lower[c]), upper[c])"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import IntType
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import TYPES, codes


@dataclass(frozen=True, eq=False)
class ClampChannels(Operator):
    """Limits the codes of each channel to `lower` and `upper`: int32, (C,) along the last axis."""

    kind: ClassVar[str] = "clamp_channels"

    lower: Ints
    upper: Ints

    def shape(self, *inputs: Shape) -> Shape:
        """Return that of the input."""
        return inputs[0]

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the input."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that each channel has a lower bound and an upper bound that is not below it."""
        for name, array in (("lower", self.lower), ("upper", self.upper)):
            self.expect(
                len(inputs[0]) > 0 and array.shape == inputs[0][-1:] and array.dtype == np.int32,
                f"expected {name} bounds of int32 and shape {inputs[0][-1:]}, got {array.dtype} {array.shape}",
            )
        self.expect(bool((self.lower <= self.upper).all()), "expected no lower bound above its upper one")

    def check_types(self, *inputs: IntType) -> None:
        """Check that the bounds are codes of the input."""
        kind = inputs[0]
        self.expect(kind.holds(self.lower) and kind.holds(self.upper), f"expected bounds within {kind}")

    def integer(self, *inputs: Ints) -> Ints:
        """Compute the clamped codes."""
        x = inputs[0]
        return np.asarray(np.minimum(np.maximum(x.astype(np.int32), self.lower), self.upper).astype(x.dtype))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every type, one channel and more, and random bounds."""
        for type in TYPES:
            for channels in (1, 3, 16, 33):
                ends = np.sort(codes(rng, type, (2, channels)).astype(np.int32), axis=0)
                yield cls(ends[0], ends[1]), (codes(rng, type, (2, 3, channels)),)
