"""Arithmetic of plain integers, as indices are computed with.   y = saturate(a + b), a - b, a * b, min(a, b), max(a, b)

The operands broadcast and stand for themselves, without a scale. Results beyond 32 bits saturate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from intaglio.number import BOOLEAN, INT8, INT32, IntType
from intaglio.number.fixedpoint import saturate
from intaglio.program.operator import Ints, Operator, Range, Shape
from intaglio.program.sampling import codes
from intaglio.program.shapes import broadcast

FUNCTIONS: dict[str, Callable[[Ints, Ints], Ints]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}
"""In 64 bits none overflows: |a b| <= 2**62."""


@dataclass(frozen=True, eq=False)
class IntegerArithmetic(Operator):
    """Computes one of `FUNCTIONS`.

    Args:
        function: its name.
    """

    kind: ClassVar[str] = "integer_arithmetic"
    operands: ClassVar[int | None] = 2

    function: str

    def shape(self, *inputs: Shape) -> Shape:
        """Broadcast the operands."""
        return broadcast(self, *inputs)

    def out_type(self, *inputs: IntType) -> IntType:
        """Return int32."""
        return INT32

    def check(self, *inputs: Shape) -> None:
        """Check that the function is known and the operands broadcast."""
        self.expect(self.function in FUNCTIONS, f"expected one of {', '.join(FUNCTIONS)}, got {self.function!r}")
        broadcast(self, *inputs)

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range:
        """Bound the results: each function has its extremes where both operands have theirs."""
        a, b = np.array(list(product(*ranges)), np.int64).T
        ends = np.clip(FUNCTIONS[self.function](a, b), INT32.qmin, INT32.qmax)
        return int(ends.min()), int(ends.max())

    def integer(self, *inputs: Ints) -> Ints:
        """Compute in 64 bits, and saturate."""
        a, b = (x.astype(np.int64) for x in inputs)
        return saturate(FUNCTIONS[self.function](a, b), INT32.qmin, INT32.qmax, INT32.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover every function with broadcasting, extremes of 32 bits, and operands of other types."""
        for function in FUNCTIONS:
            yield cls(function), (codes(rng, INT32, (2, 5, 1)), codes(rng, INT32, (1, 5, 7)))
            yield cls(function), (codes(rng, INT32, (2, 6)), codes(rng, BOOLEAN, (2, 6)))
            yield cls(function), (codes(rng, INT8, (3, 4)), rng.integers(-9, 9, (4,)).astype(INT32.dtype))
