"""The Program: integer operators over integer tensors, in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from intaglio.number import IntType, QuantParams, Rule
from intaglio.program.operator import Operator

if TYPE_CHECKING:
    from os import PathLike


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


@dataclass
class Program:
    """An integer-only program.

    Args:
        nodes: in execution order.
        tensors: every tensor by name: inputs, outputs, constants and what lies between.
        constants: integer arrays by tensor name, for operators that take them as inputs.
        inputs, outputs: tensor names, in the model's order.
        rule: the rounding rule.
        target: name of the target.
        batched: whether axis 0 of every tensor that is no constant is a batch of any size.
        metadata: strings for people (producer, source).
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

    def run(self, *x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> Any:
        """Float in, float out, through the reference interpreter; see `interpreter.run`."""
        from intaglio.program.interpreter import run

        return run(self, *x)

    def run_int(self, *x_q: NDArray[Any] | Mapping[str, NDArray[Any]]) -> Any:
        """Integers in, integers out, through the reference interpreter; see `interpreter.run_int`."""
        from intaglio.program.interpreter import run_int

        return run_int(self, *x_q)

    def trace(self, *x_q: NDArray[Any] | Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every tensor by name, for integers in; see `interpreter.trace`."""
        from intaglio.program.interpreter import trace

        return trace(self, *x_q)

    def trace_real(self, *x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Real values by Graph name, in the Graph's axis order, for real inputs; see `interpreter.trace_real`."""
        from intaglio.program.interpreter import trace_real

        return trace_real(self, *x)

    def quantize_inputs(self, *x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Real inputs on the input tensors' grids; see `inputs.quantize_inputs`."""
        from intaglio.program.inputs import quantize_inputs

        return quantize_inputs(self, *x)

    def verify(self) -> None:
        """Check every invariant; see `verify.verify`."""
        from intaglio.program.verify import verify

        verify(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a `.intaglio` file; see `file.save`."""
        from intaglio.program.file import save

        save(self, path)

    @property
    def nbytes(self) -> int:
        """Bytes of weights, biases, tables and constants."""
        from intaglio.program.file import parameter_bytes

        return parameter_bytes(self)
