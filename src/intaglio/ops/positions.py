"""Where the positions of a Resize lie in its input: every coordinate mode that ONNX Runtime has, axis by axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, input_value, shape, where

ROUND: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "round_prefer_floor": lambda c: np.floor(c) + (c - np.floor(c) > 0.5),  # c + 0.5 may round up to a whole number
    "round_prefer_ceil": lambda c: np.floor(c) + (c - np.floor(c) >= 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "asymmetric",
    "align_corners",
    "tf_crop_and_resize",
)


@dataclass(frozen=True)
class ResizedAxis:
    """One axis of a Resize.

    Args:
        axis: of the graph.
        size: of the input along it.
        at: float32, (resized size,): the input position of each result, not clamped.
        outside: bool, (resized size,): results that are the extrapolation value instead (tf_crop_and_resize).
    """

    axis: int
    size: int
    at: NDArray[np.float32]
    outside: NDArray[np.bool_]

    @property
    def around(self) -> tuple[int, int]:
        """How many results lie outside before and behind the others: positions rise or fall steadily."""
        inside = np.flatnonzero(~self.outside)
        return int(inside[0]), len(self.outside) - 1 - int(inside[-1])

    def seen(self) -> ResizedAxis:
        """The axis without the results that lie outside."""
        return replace(self, at=self.at[~self.outside], outside=self.outside[~self.outside])

    def nearest(self, mode: str) -> NDArray[np.int64]:
        """Input index of each result."""
        return np.clip(ROUND[mode](self.at), 0, self.size - 1).astype(np.int64)

    def linear(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Both neighbours of each result, and the weight of the second, in [0, 1)."""
        at = np.clip(self.at, 0, self.size - 1)
        low = np.floor(at).astype(np.int64)
        return low, np.minimum(low + 1, self.size - 1), at - low.astype(np.float32)


def resized_axes(node: ir.Node) -> list[ResizedAxis]:
    """The axes that change: their size, or, under tf_crop_and_resize, the part of them that is seen.

    Positions are computed in float32 as ONNX Runtime does, since ties of the nearest neighbour depend on it.

    Raises:
        UnsupportedOperatorError: a length on whose fraction runtimes differ.
    """
    mode = _coordinates(node)
    cropped = mode == "tf_crop_and_resize" and constant(input_value(node, 1)) is not None
    found = []
    for change in _changes(node):
        if _depends_on_fraction(mode, change):
            raise UnsupportedOperatorError(
                f"{where(node)} expected scales that give axis {change.axis} a whole length under {mode}, got "
                f"{change.length:g}; runtimes differ there: export the model with sizes ({change.wanted}) instead of "
                "scales"
            )
        at = _positions(mode, change.size, change.wanted, change.scale, change.part)
        outside = (at < 0) | (at > change.size - 1) if cropped else np.zeros(change.wanted, np.bool_)
        found.append(ResizedAxis(change.axis, change.size, at, outside))
    return found


def has_one_meaning(node: ir.Node) -> bool:
    """Tell whether runtimes agree on the positions, so that `resized_axes` gives them."""
    mode = _coordinates(node)
    return not any(_depends_on_fraction(mode, change) for change in _changes(node))


@dataclass(frozen=True)
class _AxisChange:
    """What a Resize does to an axis."""

    axis: int
    size: int
    wanted: int
    scale: np.float32
    part: tuple[float, float]

    @property
    def length(self) -> float:
        return float(self.size * self.scale)


def _coordinates(node: ir.Node) -> str:
    return str(attribute(node, "coordinate_transformation_mode", "half_pixel"))


def _changes(node: ir.Node) -> Iterator[_AxisChange]:
    source, target = shape(node.inputs[0]), shape(node.outputs[0])
    scales = constant(input_value(node, 2))
    roi = constant(input_value(node, 1)) if _coordinates(node) == "tf_crop_and_resize" else None
    axes = [axis % len(source) for axis in attribute(node, "axes", tuple(range(len(source))))]
    for i, axis in enumerate(axes):
        size, wanted = source[axis], target[axis]
        scale = np.float32(wanted / size) if scales is None or not scales.size else np.float32(scales[i])
        part = (0.0, 1.0) if roi is None else (float(roi[i]), float(roi[i + len(axes)]))
        if size != wanted or scale != 1.0 or part != (0.0, 1.0):
            yield _AxisChange(axis, size, wanted, scale, part)


def _depends_on_fraction(mode: str, change: _AxisChange) -> bool:
    """Tell whether a result depends on a fraction: ONNX counts with it, ONNX Runtime with the whole number."""
    depends = mode in ("align_corners", "tf_crop_and_resize") or (mode == "pytorch_half_pixel" and change.wanted == 1)
    return depends and abs(change.length - change.wanted) > 1e-4 * change.wanted


def _positions(mode: str, size: int, wanted: int, scale: np.float32, part: tuple[float, float]) -> NDArray[np.float32]:
    """Input position of each of `wanted` results along an axis of `size`."""
    i, half = np.arange(wanted, dtype=np.float32), np.float32(0.5)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and wanted > 1):
        return (i + half) / scale - half
    if mode == "half_pixel_symmetric":
        exact = np.float32(scale * size)
        shift = np.float32(size / 2) * (1 - np.float32(wanted) / exact)
        return np.asarray(shift + (i + half) / scale - half, np.float32)
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners" and wanted > 1:
        return i * np.float32(size - 1) / np.float32(wanted - 1)
    if mode == "tf_crop_and_resize":
        start, end = part
        if wanted == 1:
            return np.full(1, 0.5 * (start + end) * (size - 1), np.float32)
        return (start * (size - 1) + i * ((end - start) * (size - 1) / (wanted - 1))).astype(np.float32)
    return np.zeros(wanted, np.float32)  # pytorch_half_pixel and align_corners with a single result


def unchanged_axis(size: int) -> ResizedAxis:
    """An axis that keeps its elements."""
    return ResizedAxis(-1, size, np.arange(size, dtype=np.float32), np.zeros(size, np.bool_))
