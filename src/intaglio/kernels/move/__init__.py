"""Kernels of the operators that only move integers: one walk, whatever the elements mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import UNSIGNED, broadcast_strides, dense, merge, template
from intaglio.program.operators.depth_to_space import DepthToSpace
from intaglio.program.operators.expand import Expand
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.space_to_depth import SpaceToDepth
from intaglio.program.operators.transpose import Transpose


def move(x: Tensor, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Call:
    """Read `x` in the order of an output of this shape, by these strides; one unit per row."""
    sizes, (steps,) = merge(shape, strides)
    if len(sizes) == 1:
        sizes, steps = (*sizes, 1), (*steps, 0)
    outer = len(sizes) - 2
    nbytes = x.type.dtype.itemsize
    name = f"ig_move_{8 * nbytes}__scalar"
    fields = {
        "offset": offset,
        "rank": outer,
        "size": sizes[:outer] or (1,),
        "stride": steps[:outer] or (0,),
        "rows": sizes[-2],
        "row_stride": steps[-2],
        "columns": sizes[-1],
        "column_stride": steps[-1],
    }
    source = template("move/scalar.h", name, x=UNSIGNED[nbytes])
    return Call(name, (source,), "struct ig_move", fields, units=math.prod(sizes[:-1]))


def transpose(op: Transpose, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Axes in another order."""
    strides = dense(inputs[0].shape)
    return move(inputs[0], y.shape, [strides[axis] for axis in op.axes])


def slice_(op: Slice, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """From `starts` by `steps`."""
    strides = list(dense(inputs[0].shape))
    offset = 0
    for axis, start, step in zip(op.axes, op.starts, op.steps, strict=True):
        offset += start * strides[axis]
        strides[axis] *= step
    return move(inputs[0], y.shape, strides, offset)


def expand(op: Expand, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Strides of 0 repeat."""
    return move(inputs[0], y.shape, broadcast_strides(inputs[0].shape, y.shape))


def depth_to_space(op: DepthToSpace, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """The output as (N, H, b, W, b, C)."""
    n, h, w, c = inputs[0].shape
    b, each = op.block, c // op.block**2
    image, row, pixel, _ = dense(inputs[0].shape)
    down, across, channel = (b, 1, b * b) if op.crd else (b * each, each, 1)
    return move(inputs[0], (n, h, b, w, b, each), (image, row, down, pixel, across, channel))


def space_to_depth(op: SpaceToDepth, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """The output as (N, H, W, b, b, C)."""
    n, h, w, c = inputs[0].shape
    b = op.block
    image, row, pixel, _ = dense(inputs[0].shape)
    return move(inputs[0], (n, h // b, w // b, b, b, c), (image, b * row, b * pixel, row, pixel, 1))


def reshape(op: Reshape, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """A copy, for where a view is not possible."""
    return move(inputs[0], y.shape, dense(y.shape))


KERNELS = (
    Kernel("transpose", "scalar", transpose),
    Kernel("slice", "scalar", slice_),
    Kernel("expand", "scalar", expand),
    Kernel("depth_to_space", "scalar", depth_to_space),
    Kernel("space_to_depth", "scalar", space_to_depth),
    Kernel("reshape", "scalar", reshape),
)
