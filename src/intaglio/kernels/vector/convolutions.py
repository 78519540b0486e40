"""Operators that are convolutions in disguise: the dense layer, and sums and averages over a window or an image."""

from __future__ import annotations

import math

import numpy as np

from intaglio.kernels.kernel import Tensor
from intaglio.kernels.vector.chain import Link
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.reduce_sum import ReduceSum


def dense_link(op: Dense, x: Tensor, y: Tensor) -> Link:
    """The rows of the input are the pixels of an image of height 1."""
    rows = x.size // x.shape[-1]
    conv = Conv2d(
        weight=op.weight[:, None, None],
        weight_zero_point=op.weight_zero_point,
        bias=op.bias,
        x_zero_point=op.x_zero_point,
        y_zero_point=op.y_zero_point,
        requantize=op.requantize,
        low=op.low,
        high=op.high,
        out=op.out,
        weight_type=op.weight_type,
    )
    return Link(conv, (Tensor((1, 1, rows, x.shape[-1]), x.type),), Tensor((1, 1, rows, y.shape[-1]), y.type))


def average_link(op: AveragePool2d, x: Tensor, y: Tensor) -> Link | None:
    """A depthwise convolution with weights of 1; None where the count differs between positions."""
    if op.requantize is None or op.requantize.multiplier.size > 1 or x.shape[-1] < 2:
        return None
    return Link(_ones(op, x, op.kernel, op.strides, op.dilations, op.pads), (x,), y)


def sum_link(op: ReduceSum, x: Tensor, y: Tensor) -> Link | None:
    """A sum over the positions of an image is a window as large as the image; None for other axes."""
    rank = len(x.shape)
    axes = sorted(axis % rank for axis in op.axes)
    if rank < 3 or x.shape[0] != 1 or axes != list(range(1, rank - 1)) or x.shape[-1] < 2:
        return None
    positions = math.prod(x.shape[1:-1])
    # All positions in one row: their number is what the tile walks along, four at a time.
    image = Tensor((1, 1, positions, x.shape[-1]), x.type)
    conv = _ones(op, image, (1, positions), (1, 1), (1, 1), (0, 0, 0, 0))
    return Link(conv, (image,), Tensor((1, 1, 1, x.shape[-1]), y.type))


def _ones(
    op: AveragePool2d | ReduceSum,
    x: Tensor,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
) -> Conv2d:
    assert op.requantize is not None
    channels = x.shape[-1]
    return Conv2d(
        weight=np.ones((channels, *kernel, 1), np.int8),
        weight_zero_point=np.zeros((), np.int32),
        bias=np.zeros(channels, np.int64),
        x_zero_point=op.x_zero_point,
        y_zero_point=op.y_zero_point,
        requantize=op.requantize,
        low=op.low,
        high=op.high,
        out=op.out,
        strides=strides,
        dilations=dilations,
        pads=pads,
        groups=channels,
    )
