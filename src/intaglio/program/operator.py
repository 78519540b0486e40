"""What every integer operator is: a frozen record of integer parameters that knows its shape and its integers."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ProgramError
from intaglio.number import IntType, Rule

Ints = NDArray[Any]
Shape = tuple[int, ...]
Range = tuple[int, int]  # smallest and largest

OPERATORS: dict[str, type[Operator]] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Operator(ABC):
    """One integer operator with its parameters.

    Fields may be int, bool, str, tuples of int, `IntType`, `Requantize` (or None), or integer arrays; the file
    format writes and reads any operator made of these. `kind` names the operator in files and in C.

    Some field names have one meaning everywhere, and the verifier holds them to it:
    `x_zero_point` (or `a_`, `b_zero_point`) is a code of the first (second) input, `y_zero_point` one of the output;
    `low <= high` are codes of the output; an array `weight` holds codes of `weight_type` and is stored in its bits;
    a `Requantize` is normalised and follows the Program's rounding rule.
    """

    kind: ClassVar[str]
    operands: ClassVar[int | None] = 1  # how many inputs; None: any number from 1
    # Its factors hold more than scales (a count, a slope), so under the rule `shift` they may round by `half_up`.
    factors_beyond_scales: ClassVar[bool] = False
    # TFLite's reference kernel rounds it once: under the rule `tflite` its factors round by `half_away`.
    rounds_once: ClassVar[bool] = False
    # `accumulator_bound` bounds what each of its factors is applied to, with the shift that the factor states.
    bounds_factors: ClassVar[bool] = True
    # Its output's elements are those of its inputs.
    moves: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            assert cls.kind not in OPERATORS, cls.kind
            OPERATORS[cls.kind] = cls

    @classmethod
    def factor_rules(cls, rule: Rule) -> frozenset[Rule]:
        """The rules by which the factors of this operator may round in a Program of `rule`."""
        found = {rule}
        if cls.factors_beyond_scales and rule is Rule.SHIFT:
            found.add(Rule.HALF_UP)
        if cls.rounds_once and rule is Rule.TFLITE:
            found.add(Rule.HALF_AWAY)
        return frozenset(found)

    @abstractmethod
    def shape(self, *inputs: Shape) -> Shape:
        """Shape of the output for inputs of these shapes, once `check` has passed."""

    @abstractmethod
    def out_type(self, *inputs: IntType) -> IntType:
        """Type of the output for inputs of these types."""

    @abstractmethod
    def integer(self, *inputs: Ints) -> Ints:
        """The output: what every kernel must return, bit for bit."""

    def check(self, *inputs: Shape) -> None:  # noqa: B027  (most operators have something to check, some have not)
        """Verify the parameters against each other and the input shapes (a file may lie).

        Raises:
            ProgramError: a parameter is out of range or of the wrong shape.
        """

    def check_types(self, *inputs: IntType) -> None:  # noqa: B027
        """Verify the parameters against the input types.

        Raises:
            ProgramError: a type is not what the operator takes, or a table holds what the output type does not.
        """

    def mixes_samples(self) -> bool:
        """Whether results of one sample depend on others, in axis 0, although the shapes agree."""
        return False

    def operand_range(self, index: int, *inputs: Shape) -> Range | None:
        """The smallest and the largest integer that it takes as an operand; None where every code will do."""
        return None

    def result_range(self, shapes: tuple[Shape, ...], ranges: tuple[Range, ...]) -> Range | None:
        """Bound plain integers that it makes; None where they may be any code of its output's type.

        Args:
            shapes: of the inputs.
            ranges: smallest and largest integer of each input.
        """
        if not self.moves:
            return None
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    def accumulator_bound(self, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> int:
        """A magnitude that no accumulator exceeds, whatever codes the inputs hold; 0 where there is none."""
        return 0

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterator[tuple[Operator, tuple[Ints, ...]]]:
        """Random attributes, parameters and inputs for the parity tests, extremes included."""
        raise AssertionError(f"{cls.kind} has no samples")

    def macs(self, *inputs: Shape) -> int:
        """Multiply-accumulate operations (MACs) of one run, 0 for operators that have none."""
        return 0

    def fail(self, message: str) -> ProgramError:
        """The error that names this operator."""
        return ProgramError(f"{self.kind}: {message}")

    def expect(self, condition: bool, message: str) -> None:
        """Raise `fail(message)` unless the condition holds."""
        if not condition:
            raise self.fail(message)
