"""What a Program is made of: tensors, nodes and their order. What can be done with one stands in `program.program`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from intaglio.number import IntType, QuantParams, Rule
from intaglio.program.operator import Operator

FILE_TARGET = "as-the-file-says"
"""The target of a Plan or a Program that was read from a quantized file."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a Program.

    Args:
        name: unique in the Program.
        shape: with a batch of 1 in front where the program is batched.
        type: of its integers.
        params: what the integers stand for; None where they are plain numbers (indices). Never used by an engine:
            it is for the two ends (quantize in, dequantize out) and for comparing stages.
        graph_name: the Graph's value that it stands for, None for tensors in between.
        axes: graph axis of each of its own axes: `tensor == value.transpose(axes)`; None means the same order.
    """

    name: str
    shape: tuple[int, ...]
    type: IntType
    params: QuantParams | None = None
    graph_name: str | None = None
    axes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Node:
    """One run of an operator."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class ProgramState:
    """An input that takes, at each step of a stream, what an output gave at the step before.

    Args:
        input, output: names of tensors of one shape, type and meaning.
        initial: codes at the first step, in the input's shape.
    """

    input: str
    output: str
    initial: NDArray[Any]


@dataclass
class ProgramStructure:
    """The parts of an integer-only program.

    Args:
        nodes: in execution order.
        tensors: every tensor by name: inputs, outputs, constants and what lies between.
        constants: integer arrays by tensor name, for operators that take them as inputs.
        inputs, outputs: tensor names, in the model's order.
        rule: the rounding rule.
        target: name of the target.
        batched: whether axis 0 of every tensor that is no constant is a batch of any size.
        metadata: strings for people (producer, source).
        states: which outputs go back into which inputs in a stream; a single run leaves that to the caller.
        float_ends: inputs and outputs that generated C also takes and gives as float, quantized there.
    """

    nodes: list[Node]
    tensors: dict[str, TensorInfo]
    constants: dict[str, NDArray[Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rule: Rule
    target: str
    batched: bool = True
    metadata: dict[str, str] = field(default_factory=dict)
    states: tuple[ProgramState, ...] = ()
    float_ends: tuple[str, ...] = ()


def fresh(name: str, taken: Container[str]) -> str:
    """Return the name, or the first unused of `name.1`, `name.2`, ..."""
    number, unused = 1, name
    while unused in taken:
        unused, number = f"{name}.{number}", number + 1
    return unused
