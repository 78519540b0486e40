"""The reference interpreter: runs a Program in NumPy and defines what every other engine must return.

A batched Program runs with any number of samples in axis 0, in chunks that keep the live tensors within a few
megabytes, several chunks at a time; any other Program runs sample by sample, in the shapes that it declares (where the
samples lie in its inputs says `intaglio.samples`).
A tensor is dropped after its last reader.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.number.blas import blas_threads, one_blas_thread
from intaglio.program.index_checks import IndexCheck, index_checks
from intaglio.program.inputs import Input, check_codes, quantize_inputs
from intaglio.program.structure import ProgramStructure, TensorInfo

Arrays = dict[str, NDArray[Any]]
CHUNK_ELEMENTS = 1 << 18  # of the largest node's inputs and output, per chunk of samples; 2 MB as int64, for the cache


def run(program: ProgramStructure, *x: Input) -> Any:
    """Float in, float out.

    Args:
        program: what to run.
        x: one real array per input in order, or one mapping from input names to arrays; axis 0 counts samples. Of a
            Program that is not batched, an input whose own axis 0 is not 1 may be given once, for all samples.
    Returns:
        The output's real values (float32; integers where the output is a plain index), bare when there is one
        output, otherwise a tuple.
    Raises:
        DataError: an input is missing, unknown, not real numbers, not finite, or of a wrong shape; or an index that the
            network computes is outside the axis it is for.
    """
    codes = quantize_inputs(program, *x)
    out = _run(program, codes, program.outputs)
    return _bare([_dequantize(program.tensors[name], out[name]) for name in program.outputs])


def run_int(program: ProgramStructure, *x_q: Input) -> Any:
    """Integers in, integers out.

    Args:
        program: what to run.
        x_q: codes of the input tensors' types, as for `run`.
    Returns:
        Codes of the outputs, bare when there is one.
    Raises:
        DataError: as for `run`, and a code is outside its type.
    """
    out = _run(program, check_codes(program, x_q), program.outputs)
    return _bare([out[name] for name in program.outputs])


def trace(program: ProgramStructure, *x_q: Input) -> Arrays:
    """Every tensor by name, constants included, for integers in. Keeps them all: give it few samples."""
    return _run(program, check_codes(program, x_q), tuple(program.tensors))


def trace_real(program: ProgramStructure, *x: Input) -> Arrays:
    """The real value of every tensor that stands for a value of the Graph, by the Graph's name and in its axis order.

    Where several tensors stand for one value, the last one is given.

    Args:
        program: what to run.
        x: real inputs, as for `run`.
    """
    codes = _run(program, quantize_inputs(program, *x), tuple(program.tensors))
    values = {}
    for name, info in program.tensors.items():
        q = codes.pop(name)
        if info.graph_name is not None:
            real = _dequantize(info, q)
            values[info.graph_name] = real if info.axes is None else real.transpose(np.argsort(info.axes))
    return values


def _run(program: ProgramStructure, codes: Sequence[NDArray[Any]], keep: Sequence[str]) -> Arrays:
    """The tensors named in `keep`, for any number of samples."""
    inputs = dict(zip(program.inputs, codes, strict=True))
    declared = {name: program.tensors[name].shape for name in program.inputs}
    checks = index_checks(program)
    if not any(x.shape != declared[name] for name, x in inputs.items()):
        return _execute(program, checks, inputs, keep)
    samples = next(x.shape[0] for name, x in inputs.items() if x.shape != declared[name])
    step = _samples_per_chunk(program) if program.batched else 1
    if program.batched and step >= samples:
        return _execute(program, checks, inputs, keep)

    def part(start: int) -> Arrays:
        chunk = {n: _part(x, declared[n], start, step) for n, x in inputs.items()}
        return _execute(program, checks, chunk, keep)

    return _joined(part, range(0, samples, step), keep, program)


def _part(x: NDArray[Any], declared: tuple[int, ...], start: int, count: int) -> NDArray[Any]:
    """Some samples of an input; the whole of one that is the same for all."""
    if x.ndim > len(declared):
        return np.asarray(x[start])
    return x[start : start + count] if declared[:1] == (1,) else x


def _joined(part: Callable[[int], Arrays], starts: range, keep: Sequence[str], program: ProgramStructure) -> Arrays:
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in keep}
    for arrays in _in_threads(part, starts):
        for name, x in arrays.items():
            parts[name].append(x)
    out = {}
    for name, chunks in parts.items():
        if name in program.constants:
            out[name] = chunks[0]
        elif program.batched or program.tensors[name].shape[:1] == (1,):
            out[name] = np.concatenate(chunks)
        else:  # a value without a batch axis gets one
            out[name] = np.stack(chunks)
    return out


def _in_threads(part: Callable[[int], Arrays], starts: Iterable[int]) -> Iterator[Arrays]:
    """The parts in order, as many at a time as BLAS has threads; NumPy lets go of the interpreter lock in its loops."""
    workers = blas_threads()
    if workers == 1:
        yield from map(part, starts)
        return
    with one_blas_thread(), ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(part, starts)
        finally:
            pool.shutdown(cancel_futures=True)  # on Ctrl-C, what has not begun never does


def _execute(
    program: ProgramStructure, checks: Mapping[str, Sequence[IndexCheck]], inputs: Arrays, keep: Sequence[str]
) -> Arrays:
    """Run every node once; tensors outside `keep` are dropped after their last reader."""
    last = {name: i for i, node in enumerate(program.nodes) for name in node.inputs}
    kept = set(keep)
    live = {**program.constants, **inputs}
    for i, node in enumerate(program.nodes):
        for check in checks.get(node.name, ()):
            check.check(live[check.tensor])
        live[node.output] = np.asarray(node.operator.integer(*(live[name] for name in node.inputs)))
        for name in {*node.inputs, node.output}:
            if last.get(name, -1) <= i and name not in kept:
                live.pop(name, None)
    return {name: live[name] for name in keep}


def _samples_per_chunk(program: ProgramStructure) -> int:
    def elements(names: Sequence[str]) -> int:
        return sum(math.prod(program.tensors[name].shape) for name in names if name not in program.constants)

    largest = max((elements([*node.inputs, node.output]) for node in program.nodes), default=1)
    return max(1, CHUNK_ELEMENTS // max(1, largest))


def _dequantize(info: TensorInfo, q: NDArray[Any]) -> NDArray[Any]:
    return q if info.params is None else info.params.dequantize(q)


def _bare(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)
