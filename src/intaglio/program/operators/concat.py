"""Concatenation along one axis of tensors with the same scale and zero point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.number import INT8, INT16, IntType
from intaglio.program.field_bounds import Axis
from intaglio.program.operator import Ints, Operator, Shape
from intaglio.program.sampling import codes


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """Concatenates its inputs along `axis`; inputs with other parameters are requantized before it."""

    kind: ClassVar[str] = "concat"
    operands: ClassVar[int | None] = None
    moves: ClassVar[bool] = True

    axis: Axis

    def shape(self, *inputs: Shape) -> Shape:
        """Add the sizes along the axis."""
        first = inputs[0]
        return (*first[: self.axis], sum(shape[self.axis] for shape in inputs), *first[self.axis + 1 :])

    def out_type(self, *inputs: IntType) -> IntType:
        """Return that of the inputs."""
        return inputs[0]

    def check(self, *inputs: Shape) -> None:
        """Check that all other axes have the same sizes."""
        self.expect(0 <= self.axis < len(inputs[0]), f"axis {self.axis} is outside a shape {inputs[0]}")
        rest = {(len(s), *s[: self.axis], *s[self.axis + 1 :]) for s in inputs}
        self.expect(len(rest) == 1, f"shapes {', '.join(map(str, inputs))} differ in more than axis {self.axis}")

    def check_types(self, *inputs: IntType) -> None:
        """Check that all inputs have one type."""
        self.expect(len(set(inputs)) == 1, f"expected inputs of one type, got {', '.join(map(str, inputs))}")

    def integer(self, *inputs: Ints) -> Ints:
        """Concatenate the inputs."""
        return np.concatenate(inputs, axis=self.axis)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Cover two and three parts along inner and last axes, and one part."""
        for type in (INT8, INT16):
            for axis in (1, 3):
                shapes = [tuple(k if i == axis else 4 for i in range(4)) for k in (3, 1, 5)]
                yield cls(axis), tuple(codes(rng, type, shape) for shape in shapes)
            yield cls(1), (codes(rng, type, (2, 5)),)
