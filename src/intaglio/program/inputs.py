"""The data that a Program is given: counted, named, shaped and put on the input tensors' grids, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.program.input_ranges import input_ranges
from intaglio.program.structure import ProgramStructure, TensorInfo
from intaglio.samples import count_samples, sample_shape

Input = NDArray[Any] | Mapping[str, NDArray[Any]]


def quantize_inputs(program: ProgramStructure, *x: Input) -> tuple[NDArray[Any], ...]:
    """Real inputs on the input tensors' grids, checked.

    Raises:
        DataError: as for `interpreter.run`.
    """
    codes = []
    ranges = input_ranges(program)
    for info, value in _inputs(program, x):
        if info.params is None:
            codes.append(_in_range(info, _codes(info, _whole(info, value)), ranges[info.name]))
            continue
        if value.dtype.kind not in "fiu":
            raise DataError(f"input '{info.name}': expected real numbers, got an array of {value.dtype}")
        real = value.astype(np.float32)
        if not np.isfinite(real).all():
            bad = np.argwhere(~np.isfinite(real))
            first = tuple(int(i) for i in bad[0])
            raise DataError(
                f"input '{info.name}': expected finite numbers, got {real[first]} at {first} "
                f"({len(bad)} of {real.size} are not finite); clean the data"
            )
        codes.append(info.params.quantize(real))
    return tuple(codes)


def check_codes(program: ProgramStructure, x: Sequence[Input]) -> tuple[NDArray[Any], ...]:
    """Integer inputs, checked, in the input tensors' dtypes.

    Raises:
        DataError: as for `interpreter.run`, and a code is outside its type.
    """
    ranges = input_ranges(program)
    return tuple(
        codes if info.params is not None else _in_range(info, codes, ranges[info.name])
        for info, codes in ((info, _codes(info, value)) for info, value in _inputs(program, x))
    )


def _inputs(program: ProgramStructure, x: Sequence[Input]) -> list[tuple[TensorInfo, NDArray[Any]]]:
    """Pair the inputs with their tensors and check count, names, ranks and shapes."""
    names = program.inputs
    if len(x) == 1 and isinstance(x[0], Mapping):
        given = dict(x[0])
        if set(given) != set(names):
            raise DataError(f"inputs: expected {_list(names)}, got {_list(given)}")
    elif len(x) != len(names):
        raise DataError(f"inputs: expected {len(names)} arrays ({_list(names)}), got {len(x)}")
    else:
        given = dict(zip(names, (np.asarray(value) for value in x), strict=True))
    pairs = [(program.tensors[name], np.asarray(given[name])) for name in names]
    for info, value in pairs:
        _check_shape(program, info, value)
    # An input without an axis of samples, given once, is the same for all samples.
    samples = {len(value) for info, value in pairs if info.shape[:1] == (1,) or value.shape != info.shape}
    if len(samples) > 1:
        raise DataError(f"inputs: expected the same number of samples in each, got {sorted(samples)}")
    return pairs


def _check_shape(program: ProgramStructure, info: TensorInfo, value: NDArray[Any]) -> None:
    if count_samples(value.shape, info.shape, batched=program.batched):
        return
    rest = info.shape[1:]
    want = ("N", *sample_shape(info.shape, batched=program.batched))
    text = f"input '{info.name}': expected shape ({', '.join(map(str, want))}), got {value.shape}"
    if value.shape == rest:
        text += "; add a batch axis in front: x[None]"
    elif value.ndim == len(info.shape) > 2 and sorted(value.shape[1:]) == sorted(rest):
        text += "; the axes look permuted (channels first or last?): transpose the data"
    raise DataError(text)


def _whole(info: TensorInfo, value: NDArray[Any]) -> NDArray[Any]:
    """Convert numbers that stand for integers: booleans, and floats without a fraction, as data sets hold them."""
    if value.dtype.kind == "b":
        return value.astype(np.uint8)
    if value.dtype.kind != "f":
        return value
    bad = ~np.isfinite(value) | (value != np.rint(value)) | (np.abs(value) >= 2.0**31)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"input '{info.name}': expected integers, got {value[first]} at {first}; this input holds indices, "
            "conditions or lengths, not real numbers"
        )
    return value.astype(np.int64)


def _in_range(info: TensorInfo, codes: NDArray[Any], range: tuple[int, int]) -> NDArray[Any]:
    """Check integers that are no quantized numbers against what their readers take."""
    low, high = range
    bad = (codes < low) | (codes > high)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"input '{info.name}': expected integers from {low} to {high}, got {codes[first]} at {first} "
            f"({int(bad.sum())} of {codes.size} are outside); they are indices into a table of the network"
        )
    return codes


def _codes(info: TensorInfo, value: NDArray[Any]) -> NDArray[Any]:
    if value.dtype.kind not in "iu":
        raise DataError(f"input '{info.name}': expected integers of type {info.type}, got an array of {value.dtype}")
    if not info.type.holds(value):
        raise DataError(
            f"input '{info.name}': expected codes of {info.type} ({info.type.qmin} to {info.type.qmax}), "
            f"got {value.min()} to {value.max()}"
        )
    return value.astype(info.type.dtype, copy=False)


def _list(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
