"""Check samples against the model's inputs; errors name the source, the sample and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from intaglio.data.chunk import NUMBERS, Array, Chunk, Shapes
from intaglio.errors import DataError
from intaglio.samples import sample_shape

Float = npt.NDArray[np.float32]


def sample_shapes(inputs: Mapping[str, tuple[int, ...]], *, batched: bool = True) -> dict[str, tuple[int, ...]]:
    """Return the shape of one sample of each model input.

    Axis 0 is the batch axis if the model is `batched` or the axis has size 1. Otherwise a sample is the whole input.
    """
    return {name: sample_shape(shape, batched=batched) for name, shape in inputs.items()}


def arrange(chunk: Chunk, shapes: Shapes, where: str) -> Chunk:
    """Order the arrays of a chunk as the model's inputs.

    Raises:
        DataError: names or number of arrays differ from the model's inputs.
    """
    wanted = ", ".join(f"'{name}'" for name in shapes)
    if chunk.names is not None:
        if set(chunk.names) != set(shapes):
            got = ", ".join(f"'{name}'" for name in chunk.names)
            missing = [name for name in shapes if name not in chunk.names]
            other = [name for name in chunk.names if name not in shapes]
            if missing and other:
                advice = "Rename them."
            elif missing:
                advice = f"Add an array for {', '.join(map(repr, missing))}, or bind an input that is always the same."
            else:
                advice = f"Leave out {', '.join(map(repr, other))}."
            raise DataError(f"{where}: expected the model's inputs {wanted}, got arrays named {got}. {advice}")
        by_name = dict(zip(chunk.names, chunk.x, strict=True))
        return Chunk(tuple(by_name[name] for name in shapes), tuple(shapes), chunk.y)
    if len(chunk.x) != len(shapes):
        raise DataError(
            f"{where}: the model has {len(shapes)} inputs ({wanted}), got {len(chunk.x)} per sample. "
            "Give a tuple in that order or a dict by name."
        )
    return Chunk(chunk.x, tuple(shapes), chunk.y)


def check_shape(got: tuple[int, ...], want: tuple[int, ...], where: str) -> None:
    """Compare a sample's shape with the model's, both without batch axis.

    Raises:
        DataError: rank, layout (NCHW, NHWC) or sizes differ.
    """
    if got == want:
        return
    text = f"{where}: expected samples of shape {want}, got {got}"
    if len(got) != len(want):
        raise DataError(f"{text}: {len(want)} axes are needed, not {len(got)}. Axis 0 of a batch counts the samples.")
    if len(want) == 3:
        if (got[2], got[0], got[1]) == want:
            raise DataError(
                f"{text}: the data is channels-last (NHWC), the model channels-first (NCHW). "
                'Set layout = "NCHW" under [image] of the data descriptor (--layout NCHW), or transpose the '
                "arrays with (0, 3, 1, 2)."
            )
        if (got[1], got[2], got[0]) == want:
            raise DataError(
                f"{text}: the data is channels-first (NCHW), the model channels-last (NHWC). "
                'Set layout = "NHWC" under [image] of the data descriptor (--layout NHWC), or transpose the '
                "arrays with (0, 2, 3, 1)."
            )
    raise DataError(f"{text}. For images set size and crop under [image] of a data descriptor, or --size.")


def to_float(x: Array, first: int, where: str) -> Float:
    """Copy samples to float32, so that callers may modify them; integers keep their values.

    Args:
        x: (N, ...), any real dtype.
        first: index of sample 0 of `x` in its source.
        where: name of the source, for error messages.

    Raises:
        DataError: the values are not real numbers, or a sample has NaN, infinity or a value beyond float32.
    """
    if x.dtype.kind not in NUMBERS:
        raise DataError(f"{where}: expected real numbers, got an array of dtype {x.dtype}")
    with np.errstate(over="ignore"):
        y = np.array(x, dtype=np.float32, order="C")
    if x.dtype.kind == "f":
        finite = np.isfinite(y).reshape(len(y), -1).all(axis=1)
        if not finite.all():
            bad = int(np.argmin(finite))
            values = x[bad][~np.isfinite(y[bad])]
            raise DataError(
                f"{where} sample {first + bad}: {values.size} of {x[bad].size} values are not finite in float32, "
                f"the first is {values.flat[0]}. Repair or leave out this sample."
            )
    return y


def check_labels(y: npt.NDArray[np.int64], classes: int, first: int, where: str) -> None:
    """Check that labels are in 0 .. classes - 1.

    Raises:
        DataError: a label is out of range.
    """
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if bad.size:
        hint = " Labels start at 0." if y[bad[0]] == classes else ""
        raise DataError(
            f"{where} sample {first + int(bad[0])}: label {y[bad[0]]} is not among the model's {classes} classes "
            f"(0 to {classes - 1}).{hint}"
        )


def check_uniform(chunk: Chunk, first: Chunk, index: int, where: str) -> None:
    """Check that a chunk has the same names, shapes and labels as the first one, so that they can be stacked.

    Raises:
        DataError: it differs.
    """

    def form(c: Chunk) -> tuple[Any, ...]:
        return (c.names, *(a.shape[1:] for a in c.x))

    if form(chunk) != form(first):
        got, want = (", ".join(str(a.shape[1:]) for a in c.x) for c in (chunk, first))
        raise DataError(
            f"{where} sample {index}: has shape {got}, the first sample has {want}; all must be equal. "
            "For images set size and crop under [image] of a data descriptor, or --size."
        )
    if (chunk.y is None) != (first.y is None):
        which = (
            "has no label, the first sample has one" if chunk.y is None else "has a label, the first sample has none"
        )
        raise DataError(f"{where} sample {index}: {which}. Give a label for every sample or for none.")
