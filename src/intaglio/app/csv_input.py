"""Numbers: from a text to codes of the model's input, in the input's order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.app.pieces import Example, Piece
from intaglio.codegen.tensor_macros import scale_text
from intaglio.codegen.text import integer_text
from intaglio.errors import CompileError
from intaglio.program import TensorInfo


def csv_input(info: TensorInfo) -> Piece:
    """Make the piece that reads numbers.

    Raises:
        CompileError: the input has several scales.
    """
    return Piece(
        sources=("read_number", "read_csv"),
        headers=("quantize_real",),
        body=f"    return read_csv(bytes, size, input, {math.prod(info.shape)}, error);\n",
        macros={"APP_PLAIN_INTEGERS": int(info.params is None), **quantization_macros(info)},
    )


def quantization_macros(info: TensorInfo) -> Mapping[str, object]:
    """Return the macros of `quantize_real.h`.

    Raises:
        CompileError: the input has several scales.
    """
    macros: dict[str, object] = {
        "APP_MIN": integer_text(info.type.qmin),
        "APP_MAX": integer_text(info.type.qmax),
    }
    if info.params is None:
        return macros
    if info.params.scale.size != 1 or info.type.bits > 16:
        raise CompileError(
            f"input '{info.name}': expected codes of up to 16 bits with one scale, got {info.type} with "
            f"{info.params.scale.size} scales"
        )
    return macros | {
        "APP_BIPOLAR": int(info.type.bipolar),
        "APP_SCALE": scale_text(info.params.scale.reshape(-1)[0]),
        "APP_ZERO_POINT": int(info.params.zero_point.reshape(-1)[0]),
    }


def csv_example(sample: NDArray[Any]) -> Example:
    """Write one sample as text, one line for each row of its last axis."""
    rows = sample.reshape(-1, sample.shape[-1] if sample.ndim else 1)
    lines = [",".join(f"{float(value):.9g}" for value in row) for row in np.asarray(rows)]
    return Example(".csv", ("\n".join(lines) + "\n").encode())
