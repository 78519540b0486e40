"""The Program: integer operators over integer tensors, in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from numpy.typing import ArrayLike, NDArray

from intaglio.program import file_writer, inputs, interpreter, summary, verify
from intaglio.program.io_types import IOTypes, with_io_types
from intaglio.program.pixels import with_pixels
from intaglio.program.states import with_states
from intaglio.program.stream import Stream
from intaglio.program.structure import Node, ProgramStructure, TensorInfo

__all__ = ["Node", "Program", "TensorInfo"]


@dataclass(repr=False)
class Program(ProgramStructure):
    """An integer-only program. Its parts are those of `ProgramStructure`."""

    def run(self, *x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> Any:
        """Float in, float out, through the reference interpreter; see `interpreter.run`."""
        return interpreter.run(self, *x)

    def __call__(self, *x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> Any:
        """Run; the same as `run`."""
        return interpreter.run(self, *x)

    def run_int(self, *x_q: NDArray[Any] | Mapping[str, NDArray[Any]]) -> Any:
        """Integers in, integers out, through the reference interpreter; see `interpreter.run_int`."""
        return interpreter.run_int(self, *x_q)

    def trace(self, *x_q: NDArray[Any] | Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every tensor by name, for integers in; see `interpreter.trace`."""
        return interpreter.trace(self, *x_q)

    def trace_real(self, *x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Real values by Graph name, in the Graph's axis order, for real inputs; see `interpreter.trace_real`."""
        return interpreter.trace_real(self, *x)

    def quantize_inputs(self, *x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Real inputs on the input tensors' grids; see `inputs.quantize_inputs`."""
        return inputs.quantize_inputs(self, *x)

    def with_states(self, states: Mapping[str, str], initial: Mapping[str, ArrayLike] | None = None) -> Program:
        """Declare which outputs go back into which inputs in a stream; see `states.with_states`."""
        return with_states(self, states, initial)

    def with_pixels(
        self,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        layout: str | None = None,
        *,
        name: str | None = None,
    ) -> Program:
        """Let an input take pictures of uint8, normalized by a table; see `pixels.with_pixels`."""
        return with_pixels(self, mean, std, layout, name=name)

    def with_io_types(self, inputs: IOTypes = None, outputs: IOTypes = None) -> Program:
        """Give inputs and outputs the type float32, int8, uint8 or int16; see `io_types.with_io_types`."""
        return with_io_types(self, inputs, outputs)

    def stream(self, streams: int = 1) -> Stream:
        """Begin streams that keep their states from step to step, on the reference interpreter; see `stream.Stream`."""
        return Stream(self, self.run_int, streams)

    def verify(self) -> None:
        """Check every invariant; see `verify.verify`."""
        verify.verify(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a `.intaglio` file; see `file_writer.save`."""
        file_writer.save(self, path)

    @property
    def nbytes(self) -> int:
        """Bytes of weights, biases, tables and constants."""
        return file_writer.parameter_bytes(self)

    def summary(self) -> str:
        """Table of the operators: output, types, multiply-accumulates."""
        return summary.operator_table(self)

    def __repr__(self) -> str:
        return f"Program({summary.one_line(self)})"
