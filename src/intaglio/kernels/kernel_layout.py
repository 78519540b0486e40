"""Shapes and strides as kernels walk them: axes of size 1 dropped, neighbours that lie behind each other merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.kernels.kernel import CSource, Tensor, int8_codes
from intaglio.program.windows import Window

UNSIGNED = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a row-major array, in elements."""
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def broadcast_strides(shape: Sequence[int], to: Sequence[int]) -> tuple[int, ...]:
    """Strides with which an array of `shape` is read as one of shape `to`; 0 where it repeats."""
    missing = len(to) - len(shape)
    return (0,) * missing + tuple(0 if n == 1 else s for n, s in zip(shape, dense(shape), strict=True))


def merge(shape: Sequence[int], *strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The same walk with as few axes as possible, at least one.

    Args:
        shape: sizes, outermost first.
        strides: of every array that is walked, one number per axis.
    Returns:
        (sizes, strides of each array).
    """
    axes: list[tuple[int, ...]] = []
    for axis in zip(shape, *strides, strict=True):
        if axis[0] == 1:
            continue
        if axes and all(outer == axis[0] * inner for outer, inner in zip(axes[-1][1:], axis[1:], strict=True)):
            axes[-1] = (axes[-1][0] * axis[0], *axis[1:])
        else:
            axes.append(axis)
    if not axes:
        axes = [(1, *(1 for _ in strides))]
    sizes, *merged = zip(*axes, strict=True)
    return tuple(sizes), tuple(tuple(m) for m in merged)


def template(header: str, name: str, **macros: Any) -> CSource:
    """A template whose function is `name`; the macros are `IG_<name in capitals>`."""
    return CSource(header, (("IG_NAME", name), *((f"IG_{key.upper()}", str(value)) for key, value in macros.items())))


def binary_fields(a: Tensor, b: Tensor, y: Tensor) -> dict[str, Any]:
    """`rank`, `size`, `a_stride` and `b_stride` of two operands that broadcast."""
    sizes, (a_strides, b_strides) = merge(
        y.shape, broadcast_strides(a.shape, y.shape), broadcast_strides(b.shape, y.shape)
    )
    return {"rank": len(sizes), "size": sizes, "a_stride": a_strides, "b_stride": b_strides}


def in_place(inputs: Sequence[Tensor], y: Tensor) -> tuple[int, ...]:
    """Positions of the inputs whose elements lie where the output's would: as many, of the same size."""
    return tuple(i for i, x in enumerate(inputs) if (x.size, x.nbytes) == (y.size, y.nbytes))


def exponential_fields(low: NDArray[Any], high: NDArray[Any]) -> dict[str, Any]:
    """Members of `struct ig_exponential`; both tables have a power of two of entries."""
    return {"low": low, "high": high, "low_mask": low.size - 1, "high_mask": high.size - 1}


def reduction_fields(shape: Sequence[int], axes: Sequence[int]) -> dict[str, Any]:
    """Members of `struct ig_reduction` for the reduction of `axes`."""
    strides = dense(shape)
    kept = [k for k in range(len(shape)) if k not in axes]
    sizes, (steps,) = merge([shape[k] for k in kept], [strides[k] for k in kept])
    over = sorted(axes)
    reduced_sizes, (reduced_steps,) = merge([shape[k] for k in over], [strides[k] for k in over])
    return {
        "rank": len(sizes),
        "size": sizes,
        "stride": steps,
        "reduced_rank": len(reduced_sizes),
        "reduced_size": reduced_sizes,
        "reduced_stride": reduced_steps,
        "count": math.prod(reduced_sizes),
    }


def window_fields(window: Window, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Members of `struct ig_window`."""
    return {
        "height": x.shape[1],
        "width": x.shape[2],
        "channels": x.shape[3],
        "out_height": y.shape[1],
        "out_width": y.shape[2],
        "kernel": window.kernel,
        "strides": window.strides,
        "dilations": window.dilations,
        "pads": window.pads[:2],
    }


def weight_codes(weight: NDArray[Any], zero_point: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Weights as signed integers of 8 or 16 bits, and the zero point on that grid: unsigned codes are moved down."""
    if weight.dtype == np.uint16:
        return (weight.astype(np.int32) - (1 << 15)).astype(np.int16), (zero_point - (1 << 15)).astype(np.int32)
    if weight.dtype == np.int16:
        return weight, zero_point.astype(np.int32)
    return int8_codes(weight, zero_point)
