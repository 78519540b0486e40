"""Generate the macros of `<prefix>.h` that describe one input or output: its size, its type and what its codes mean."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from intaglio.codegen.text import comment, integer_text
from intaglio.kernels.kernel import C_TYPES
from intaglio.program import TensorInfo


def tensor_macros(info: TensorInfo, prefix: str, codes: tuple[int, int] | None = None) -> str:
    """Generate the macros of a tensor.

    Args:
        info: the tensor.
        prefix: prefix of the macros, such as `MODEL_INPUT`.
        codes: smallest and largest code; None: those of its type.
    """
    low, high = codes or (info.type.qmin, info.type.qmax)
    macros = {
        "TYPE": C_TYPES[info.type.dtype.str[1:]],
        "ELEMENTS": str(math.prod(info.shape)),
        "RANK": str(len(info.shape)),
        "SHAPE": _list(map(str, info.shape)),
        "MIN": integer_text(low),
        "MAX": integer_text(high),
        **_scale_macros(info),
    }
    lines = [f"#define {prefix}_{name} {value}" for name, value in macros.items()]
    note = "; its codes are -1 for x < 0, otherwise 1" if info.type.bipolar else ""
    return "\n".join([f"/* {comment(info.name)}{note} */", *lines]) + "\n"


def scale_text(scale: np.float32) -> str:
    """Format a scale as a C literal of type float that reads back as the same float32."""
    text = f"{float(scale):.9g}"
    return (text if "." in text or "e" in text else f"{text}.0") + "f"


def exact_factor(scale: np.float32) -> tuple[int, int]:
    """Return (multiplier, shift) with `scale = multiplier * 2**-shift` exactly; the multiplier is odd, below 2**24."""
    multiplier, denominator = float(scale).as_integer_ratio()
    zeros = (multiplier & -multiplier).bit_length() - 1
    return multiplier >> zeros, denominator.bit_length() - 1 - zeros


def _scale_macros(info: TensorInfo) -> dict[str, str]:
    if info.params is None:
        return {}
    scales, zero_points = info.params.scale.reshape(-1), info.params.zero_point.reshape(-1)
    if scales.size > 1:
        return {"SCALES": _list(map(scale_text, scales)), "ZERO_POINTS": _list(str(int(z)) for z in zero_points)}
    multiplier, shift = exact_factor(scales[0])
    return {
        "SCALE": scale_text(scales[0]),
        "SCALE_MULTIPLIER": str(multiplier),
        "SCALE_SHIFT": str(shift),
        "ZERO_POINT": str(int(zero_points[0])),
    }


def _list(items: Iterable[str]) -> str:
    return "{" + ", ".join(items) + "}"
