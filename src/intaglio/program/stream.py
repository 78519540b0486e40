"""Run a Program with states step by step: a stream of any length in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError, UsageError, check_whole
from intaglio.program.inputs import Input, check_codes, quantize_inputs
from intaglio.program.structure import ProgramStructure, TensorInfo
from intaglio.samples import count_samples, counts_samples, sample_shape

Array = NDArray[Any]


class Stream:
    """States of one or several streams that run side by side; made by `Program.stream` and `NativeProgram.stream`.

    Args:
        program: a Program with states.
        execute: runs it: codes of every input in order, to codes of every output; the reference or the compiled one.
        streams: how many streams; the samples of each step are theirs.
    Raises:
        UsageError: the Program has no states, or there is no stream.
    """

    def __init__(self, program: ProgramStructure, execute: Callable[..., Any], streams: int = 1) -> None:
        if not program.states:
            raise UsageError(
                "stream: expected a program with states, got one without; declare which outputs go back into which "
                "inputs: program.with_states({'state_in': 'state_out'})"
            )
        check_whole("streams", streams, 1)
        self._program, self._execute, self._streams = program, execute, streams
        taken = {state.input for state in program.states}
        given = {state.output for state in program.states}
        self.inputs = tuple(name for name in program.inputs if name not in taken)
        self.outputs = tuple(name for name in program.outputs if name not in given)
        self._own = replace(program, inputs=self.inputs, states=())
        self._states: dict[str, Array] = {}
        self.reset()

    def reset(self) -> None:
        """Begin again: every state is its initial one."""
        for state in self._program.states:
            declared = self._program.tensors[state.input].shape
            codes = state.initial
            if self._streams > 1:
                counted = counts_samples(declared, batched=self._program.batched)
                codes = np.concatenate([codes] * self._streams) if counted else np.stack([codes] * self._streams)
            self._states[state.input] = codes

    @property
    def states(self) -> dict[str, Array]:
        """The real value of each state, integers where it holds plain ones, by the name of its input."""
        return {name: _dequantize(self._program.tensors[name], codes.copy()) for name, codes in self._states.items()}

    def step(self, *x: Input) -> Any:
        """One step, float in, float out.

        Args:
            x: one real array for each input that is no state, in order, or one mapping from names to arrays.
        Returns:
            The outputs that are no states, bare when there is one, otherwise a tuple.
        Raises:
            DataError: as for `Program.run`.
        """
        outputs = self._step(x, lambda given: quantize_inputs(self._own, given))
        real = [_dequantize(self._program.tensors[name], outputs[name]) for name in self.outputs]
        return real[0] if len(real) == 1 else tuple(real)

    def step_int(self, *x_q: Input) -> Any:
        """One step, integers in, integers out; otherwise as `step`."""
        outputs = self._step(x_q, lambda given: check_codes(self._own, (given,)))
        codes = [outputs[name] for name in self.outputs]
        return codes[0] if len(codes) == 1 else tuple(codes)

    def _step(self, x: tuple[Input, ...], checked: Callable[[dict[str, Any]], tuple[Array, ...]]) -> dict[str, Array]:
        given = self._given(x)
        codes = dict(zip(self.inputs, checked(given), strict=True)) if self.inputs else {}
        self._check_count(codes)
        results = self._execute(*(self._states.get(name, codes.get(name)) for name in self._program.inputs))
        outputs = dict(zip(self._program.outputs, results if isinstance(results, tuple) else (results,), strict=True))
        for state in self._program.states:
            # A copy: the interpreter's outputs may be views of the caller's inputs, or of one another. It gives a
            # constant once, which is that of every stream.
            self._states[state.input] = np.resize(outputs[state.output], self._states[state.input].shape)
        return outputs

    def _given(self, x: tuple[Input, ...]) -> dict[str, Any]:
        listed = ", ".join(f"'{name}'" for name in self.inputs) or "none"
        if len(x) == 1 and isinstance(x[0], Mapping):
            if set(x[0]) != set(self.inputs):
                got = ", ".join(f"'{name}'" for name in x[0]) or "none"
                raise DataError(f"step: expected the inputs {listed}, got {got}; the stream keeps the states")
            return dict(x[0])
        if len(x) != len(self.inputs):
            raise DataError(
                f"step: expected {len(self.inputs)} arrays ({listed}), got {len(x)}; the stream keeps the states"
            )
        return dict(zip(self.inputs, x, strict=True))

    def step_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an input of one stream, without an axis of streams."""
        return sample_shape(self._program.tensors[name].shape, batched=self._program.batched)

    def _check_count(self, codes: Mapping[str, Array]) -> None:
        batched = self._program.batched
        for name, array in codes.items():
            declared = self._program.tensors[name].shape
            count = count_samples(array.shape, declared, batched=batched)
            shared = count == 1 and not counts_samples(declared, batched=batched)  # the same for all streams
            if count != self._streams and not shared:
                raise DataError(
                    f"step: input '{name}': expected {self._streams} samples, one for each stream, got {count}"
                )


class Streaming(Protocol):
    """A Program or a compiled one."""

    def stream(self, streams: int = 1) -> Stream:
        """Begin streams."""


def run_stream(engine: Streaming, x: Mapping[str, Array], *, integers: bool = False) -> dict[str, Array]:
    """Run all steps of one stream, or of sequences side by side, from the initial states.

    Args:
        engine: a Program with states, or a compiled one.
        x: for each input that is no state steps (T, ...), or sequences (N, T, ...).
        integers: whether these are codes, and the results are.
    Returns:
        Outputs that are no states by name, (T, ...) or (N, T, ...).
    Raises:
        DataError: as for `Stream.step`, or the inputs' numbers of steps differ.
    """
    stream = engine.stream()
    first = np.asarray(x.get(stream.inputs[0])) if stream.inputs else np.zeros(0)
    sequences = first.ndim > len(stream.step_shape(stream.inputs[0])) + 1 if stream.inputs else False
    if sequences:
        stream = engine.stream(len(first))
    axis = int(sequences)
    arrays = {name: np.asarray(array) for name, array in x.items()}
    counts = {array.shape[axis] if array.ndim > axis else 0 for array in arrays.values()}
    if len(counts) != 1 or not min(counts):
        raise DataError(f"inputs: expected the same number of steps in each, at least 1, got {sorted(counts)}")
    rows = []
    for t in range(counts.pop()):
        step = {n: a[:, t] if sequences else a[t : t + 1] for n, a in arrays.items()}
        y = stream.step_int(step) if integers else stream.step(step)
        rows.append(y if isinstance(y, tuple) else (y,))
    joined = (np.stack(column, axis=1) if sequences else np.concatenate(column) for column in zip(*rows, strict=True))
    return dict(zip(stream.outputs, joined, strict=True))


def _dequantize(info: TensorInfo, codes: Array) -> Any:
    return codes if info.params is None else info.params.dequantize(codes)
