"""Resize by nearest neighbours or linear interpolation, axis by axis.

    nearest: y[i] = x[round(c(i))]        linear: y[i] = (1 - w) * x[j] + w * x[j + 1],  j = floor(c(i)), w = c(i) - j

`c` maps a position of the result to one of the input; indices outside are those of the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, input_value, rank, shape
from intaglio.ops.contract import Contract, Own, Role, Same
from intaglio.ops.operator import FloatOperator, Lowering

ROLES = (Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE, Role.OFFLINE)
ROUND = {
    "round_prefer_floor": lambda c: np.ceil(c - np.float32(0.5)),
    "round_prefer_ceil": lambda c: np.floor(c + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}


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
    """
    source, target = shape(node.inputs[0]), shape(node.outputs[0])
    scales = constant(input_value(node, 2))
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    roi = constant(input_value(node, 1)) if mode == "tf_crop_and_resize" else None
    found = []
    for axis, (size, wanted) in enumerate(zip(source, target, strict=True)):
        scale = np.float32(wanted / size) if scales is None or not scales.size else np.float32(scales[axis])
        part = (0.0, 1.0) if roi is None else (float(roi[axis]), float(roi[axis + len(source)]))
        if size == wanted and scale == 1.0 and part == (0.0, 1.0):
            continue
        at = _positions(mode, size, wanted, scale, part)
        outside = (at < 0) | (at > size - 1) if roi is not None else np.zeros(wanted, np.bool_)
        found.append(ResizedAxis(axis, size, at, outside))
    return found


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


class Resize(FloatOperator):
    """ONNX Resize: nearest and linear, every coordinate mode, any axes, scales or sizes."""

    op_types = ("Resize",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Axis by axis."""
        y = inputs[0]
        assert y is not None
        axes = resized_axes(node)
        for part in axes:
            if attribute(node, "mode", "nearest") == "nearest":
                index = torch.as_tensor(part.nearest(attribute(node, "nearest_mode", "round_prefer_floor")), device=y.device)
                y = y.index_select(part.axis, index)
                continue
            low, high, weight = (torch.as_tensor(a, device=y.device) for a in part.linear())
            first, second = y.index_select(part.axis, low), y.index_select(part.axis, high)
            y = torch.lerp(first, second, weight.to(y.dtype).reshape([-1] + [1] * (y.ndim - 1 - part.axis)))
        fill = attribute(node, "extrapolation_value", 0.0)
        for part in axes:
            if part.outside.any():
                y = y.index_fill(part.axis, torch.as_tensor(np.flatnonzero(part.outside), device=y.device), fill)
        return y

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Both modes stay within the input's range, so its parameters do, unless a value from outside comes in."""
        for what, allowed, got in (
            ("mode", ("nearest", "linear"), attribute(node, "mode", "nearest")),
            ("antialias", (0,), attribute(node, "antialias", 0)),
            ("keep_aspect_ratio_policy", ("stretch",), attribute(node, "keep_aspect_ratio_policy", "stretch")),
        ):
            if got not in allowed:
                raise UnsupportedOperatorError(
                    f"[Resize {node.name!r}] expected {what} {' or '.join(map(str, allowed))}, got {got}; export the model "
                    "with one of these"
                )
        for index, what in ((1, "roi"), (2, "scales"), (3, "sizes")):
            value = input_value(node, index)
            if value is not None and constant(value) is None:
                raise UnsupportedOperatorError(f"[Resize {node.name!r}] expected constant {what}, got a computed one")
        outside = any(part.outside.any() for part in resized_axes(node))
        return Contract(ROLES, Own() if outside and attribute(node, "extrapolation_value", 0.0) else Same(0))
