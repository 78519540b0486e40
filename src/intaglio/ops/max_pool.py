"""Maximum over windows.   y = max of x over a window; padding never wins"""

from __future__ import annotations

import math

import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import rank, shape
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering, Placed
from intaglio.ops.volumes import (
    as_depth_rows,
    as_planes,
    depth_window,
    emit_depth_rows,
    emit_planes,
    moves,
    plane_window,
)
from intaglio.ops.window_nodes import NodeWindow, as_image, channels_last, from_image, require_at_most_three_axes
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.reduce_max import ReduceMax


def padded_window(node: ir.Node) -> NodeWindow:
    """The window of a pool whose ceil_mode, if it has one, is written as padding at the ends."""
    window = NodeWindow.of(node)
    n = len(window.kernel)
    pads = list(window.pads)
    for i, (size, out) in enumerate(zip(shape(node.inputs[0])[2:], shape(node.outputs[0])[2:], strict=True)):
        reach = (out - 1) * window.strides[i] + (window.kernel[i] - 1) * window.dilations[i] + 1
        pads[n + i] = max(pads[n + i], reach - size - pads[i])
    return NodeWindow(window.kernel, window.strides, window.dilations, tuple(pads))


class MaxPool(FloatOperator):
    """ONNX MaxPool over one to three spatial axes, ceil_mode, dilations."""

    op_types = ("MaxPool",)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Sequences, images and volumes."""
        require_at_most_three_axes(node)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """(N, C, *S) to (N, C, *S')."""
        x, window = inputs[0], padded_window(node)
        assert x is not None
        n = len(window.kernel)
        x = F.pad(x, [p for i in reversed(range(n)) for p in (window.pads[i], window.pads[n + i])], value=-math.inf)
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
        return pool(x, window.kernel, window.strides, 0, window.dilations)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Picks integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `max_pool2d`, two over a volume."""
        if rank(node.inputs[0]) == 5:
            cls._lower_volume(node, to)
            return
        x = as_image(node, to)
        from_image(node, to, cls._operator(padded_window(node).two_dimensional(), x), [x], rank(node.inputs[0]))

    @staticmethod
    def _operator(window: NodeWindow, x: Placed) -> MaxPool2d:
        return MaxPool2d(
            kernel=window.kernel,
            strides=window.strides,
            dilations=window.dilations,
            pads=window.pads,
            low=x.type.qmin,
            high=x.type.qmax,
        )

    @classmethod
    def _lower_volume(cls, node: ir.Node, to: Lowering) -> None:
        """The largest over the depth, and of these the largest over each slice."""
        window, result = padded_window(node), to.result(node)
        x = to.operand(node.inputs[0], axes=channels_last(5))
        depth, size = depth_window(window), x.shape[2:4]
        x = as_depth_rows(node, to, x)
        if moves(depth):
            x = to.step(node, cls._operator(depth, x), [x], x.params)
        if not moves(plane_window(window)):
            emit_depth_rows(node, to, x, (size[0], size[1]), result)
            return
        x = as_planes(node, to, x, (size[0], size[1]))
        y = to.step(node, cls._operator(plane_window(window), x), [x], x.params)
        emit_planes(node, to, y, shape(result.value)[2], result)


class GlobalMaxPool(FloatOperator):
    """ONNX GlobalMaxPool."""

    op_types = ("GlobalMaxPool",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Maximum over every spatial axis, which stay with size 1."""
        x = inputs[0]
        assert x is not None
        return x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Picks integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reduce_max`."""
        x = to.operand(node.inputs[0], axes=channels_last(rank(node.inputs[0])))
        axes = tuple(range(1, len(x.axes) - 1))
        to.emit(node, ReduceMax(axes=axes, keepdims=True), [x], node.outputs[0], x.axes)
