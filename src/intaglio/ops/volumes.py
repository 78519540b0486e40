"""Windows over volumes as integer operators over images.

Tensors are channels-last, (N, D, H, W, C). A convolution reads the slices of depth under each place of its window as
more channels, and these images one below the other as one tall image, with zeros between them: one convolution with one
rounding. A pool goes over the depth first, seen as rows, and then over each slice, the depth seen as channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.number import QuantParams
from intaglio.ops.float_operator import Axes, Lowering, Placed, Result
from intaglio.ops.window_nodes import NodeWindow, channels_last
from intaglio.program import Operator
from intaglio.program.operators.concat import Concat
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.pad import Pad
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.transpose import Transpose

_VOLUME = channels_last(5)
PLANES: Axes = (0, 3, 4, 2, 1)
"""Graph axes of (N, H, W, D, C), where the slices of a volume are channels of an image."""


def convolve_volume(
    node: ir.Node,
    to: Lowering,
    x: Placed,
    window: NodeWindow,
    codes: NDArray[Any],
    weight: QuantParams,
    bias: NDArray[np.int64],
    groups: int,
) -> None:
    """Emit a convolution over three axes as the node's result.

    Args:
        node: its result has the axes (N, O, D', H', W').
        to: the lowering.
        x: (N, D, H, W, C).
        window: over (D, H, W).
        codes: of the weight, (O, C / groups, kd, kh, kw).
        weight: its parameters.
        bias: codes, (O,).
        groups: of channels.
    """
    result = to.result(node)
    slices, taps = _depth_windows(node, to, x, window, groups, codes)
    n, depth, height, width, channels = slices.shape
    plane = plane_window(window)
    rows = _rows_of_slice(height, plane)
    slices = _padded(node, to, slices, {2: (0, rows - height)})
    image = _step(node, to, Reshape(to=(to.leading(n), depth * rows, width, channels)), slices)
    (top, left, _, right), reach = plane.pads, _reach(plane, 0)
    operator = Conv2d.from_real(
        x.quant,
        weight,
        result.params,
        taps,
        bias,
        to.rule,
        strides=plane.strides,
        dilations=plane.dilations,
        pads=(top, left, max(0, reach - plane.strides[0] - top), right),
        groups=groups,
        low=result.low,
        high=result.high,
        accumulator=to.accumulator,
    )
    y = to.step(node, operator, [image], result.params)
    each = rows // plane.strides[0]
    y = _cut(node, to, y, 1, depth * each)
    found = (height + top + plane.pads[2] - reach) // plane.strides[0] + 1
    split = Reshape(to=(to.leading(n), depth, each, *y.shape[2:]))
    if found == each:
        to.emit(node, split, [y], result.value, _VOLUME)
    else:
        y = to.step(node, split, [y], result.params)
        to.emit(node, Slice(axes=(2,), starts=(0,), stops=(found,), steps=(1,)), [y], result.value, _VOLUME)


def _depth_windows(
    node: ir.Node, to: Lowering, x: Placed, window: NodeWindow, groups: int, codes: NDArray[Any]
) -> tuple[Placed, NDArray[Any]]:
    """Collect the slices under each place of the window as channels, and the weight in the same order.

    Returns:
        (N, D', H, W, kd C), and codes (O, kh, kw, kd C / groups).
    """
    taps, stride, gap = window.kernel[0], window.strides[0], window.dilations[0]
    x = _padded(node, to, x, {1: (window.pads[0], window.pads[3])})
    places = (x.shape[1] - _reach(window, 0)) // stride + 1
    parts = []
    for tap in range(taps):
        start, stop = tap * gap, tap * gap + (places - 1) * stride + 1
        whole = (start, stop, stride) == (0, x.shape[1], 1)
        cut = Slice(axes=(1,), starts=(start,), stops=(stop,), steps=(stride,))
        parts.append(x if whole else _step(node, to, cut, x))
    if taps == 1:
        return parts[0], codes[:, :, 0].transpose(0, 2, 3, 1)
    n, *size, channels = parts[0].shape
    joined = (to.leading(n), *size, taps * channels)
    if groups == 1:
        return _join(node, to, parts), _flattened(codes.transpose(0, 3, 4, 2, 1))
    # The slices of a channel lie side by side, so that groups stay together.
    columns = [_step(node, to, Reshape(to=(to.leading(n), *size, channels, 1)), part) for part in parts]
    merged = _step(node, to, Reshape(to=joined), _join(node, to, columns))
    return merged, _flattened(codes.transpose(0, 3, 4, 1, 2))


def _flattened(codes: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(codes.reshape(*codes.shape[:3], -1))


def plane_window(window: NodeWindow) -> NodeWindow:
    """The part of a window that goes over rows and columns."""
    kernel, strides, dilations, pads = window.kernel, window.strides, window.dilations, window.pads
    return NodeWindow(kernel[1:], strides[1:], dilations[1:], (*pads[1:3], *pads[4:6]))


def _reach(window: NodeWindow, axis: int) -> int:
    return (window.kernel[axis] - 1) * window.dilations[axis] + 1


def _rows_of_slice(height: int, plane: NodeWindow) -> int:
    """Rows from one slice to the next: its own, those of padding, and as many as whole strides need."""
    needed, stride = height + max(plane.pads[0], plane.pads[2]), plane.strides[0]
    return -(-needed // stride) * stride


def _step(node: ir.Node, to: Lowering, operator: Operator, x: Placed) -> Placed:
    return to.step(node, operator, [x], x.params)


def _join(node: ir.Node, to: Lowering, parts: Sequence[Placed]) -> Placed:
    return to.step(node, Concat(axis=len(parts[0].shape) - 1), parts, parts[0].params)


def _cut(node: ir.Node, to: Lowering, x: Placed, axis: int, size: int) -> Placed:
    if x.shape[axis] == size:
        return x
    return _step(node, to, Slice(axes=(axis,), starts=(0,), stops=(size,), steps=(1,)), x)


def _padded(node: ir.Node, to: Lowering, x: Placed, amounts: dict[int, tuple[int, int]]) -> Placed:
    """Pad with zeros."""
    if not any(map(any, amounts.values())):
        return x
    before, after = (tuple(amounts.get(axis, (0, 0))[end] for axis in range(len(x.shape))) for end in (0, 1))
    return _step(node, to, Pad(before=before, after=after, value=int(x.quant.zero_point)), x)


def spread_volume(node: ir.Node, to: Lowering, x: Placed, strides: Sequence[int]) -> Placed:
    """Put `stride - 1` zeros behind each element of (N, D, H, W, C), as a transposed convolution reads its input."""
    if all(stride == 1 for stride in strides):
        return x
    n, depth, height, width, channels = x.shape
    sizes = (depth, height, width)
    apart = Reshape(to=(to.leading(n), depth, 1, height, 1, width, 1, channels))
    x = _step(node, to, apart, x)
    x = _padded(node, to, x, {2 * (axis + 1): (0, stride - 1) for axis, stride in enumerate(strides)})
    wide = tuple(size * stride for size, stride in zip(sizes, strides, strict=True))
    return _step(node, to, Reshape(to=(to.leading(n), *wide, channels)), x)


def crop_volume(node: ir.Node, to: Lowering, x: Placed, pads: Sequence[int]) -> tuple[Placed, tuple[int, ...]]:
    """Take negative pads of (D, H, W), begins and then ends, off the volume; return it and the pads that are left."""
    amounts = {axis + 1: (min(pads[axis], 0), min(pads[axis + 3], 0)) for axis in range(3)}
    return _padded(node, to, x, amounts), tuple(max(pad, 0) for pad in pads)


def as_depth_rows(node: ir.Node, to: Lowering, x: Placed) -> Placed:
    """See (N, D, H, W, C) as an image whose rows are the slices, (N, D, H W, C)."""
    n, depth, height, width, channels = x.shape
    return _step(node, to, Reshape(to=(to.leading(n), depth, height * width, channels)), x)


def as_planes(node: ir.Node, to: Lowering, x: Placed, size: tuple[int, int]) -> Placed:
    """See (N, D, H W, C), or (N, D, H, W, C), as an image whose channels are the slices too, (N, H, W, D C)."""
    n, depth, channels = x.shape[0], x.shape[1], x.shape[-1]
    x = _step(node, to, Reshape(to=(to.leading(n), depth, math.prod(size), channels)), x)
    x = _step(node, to, Transpose(axes=(0, 2, 1, 3)), x)
    return _step(node, to, Reshape(to=(to.leading(n), *size, depth * channels)), x)


def emit_planes(node: ir.Node, to: Lowering, image: Placed, depth: int, result: Result) -> None:
    """Emit (N, H', W', D C) as the node's result."""
    n, height, width, channels = image.shape
    split = Reshape(to=(to.leading(n), height, width, depth, channels // depth))
    to.emit(node, split, [image], result.value, PLANES)


def emit_depth_rows(node: ir.Node, to: Lowering, image: Placed, size: tuple[int, int], result: Result) -> None:
    """Emit (N, D', H W, C) as the node's result."""
    n, depth, _, channels = image.shape
    to.emit(node, Reshape(to=(to.leading(n), depth, *size, channels)), [image], result.value, _VOLUME)


def depth_window(window: NodeWindow) -> NodeWindow:
    """The part of a window that goes over the depth, for `as_depth_rows`."""
    kernel, strides, dilations, pads = (
        window.kernel[0], window.strides[0], window.dilations[0], (window.pads[0], window.pads[3]),
    )  # fmt: skip
    return NodeWindow((kernel, 1), (strides, 1), (dilations, 1), (pads[0], 0, pads[1], 0))


def moves(window: NodeWindow) -> bool:
    """Whether a pool over this window does anything."""
    return set(window.kernel) | set(window.strides) != {1} or any(window.pads)
