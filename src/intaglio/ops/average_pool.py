"""Average pools.   y = mean of x over a window"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import attribute, rank, shape
from intaglio.number import INT16, QuantParams
from intaglio.ops.contract import Contract, Role
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
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.reduce_sum import ReduceSum


class AveragePool(FloatOperator):
    """ONNX AveragePool over one to three spatial axes, padding counted or not, ceil_mode, dilations."""

    op_types = ("AveragePool",)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Sequences, images and volumes."""
        require_at_most_three_axes(node)

    @classmethod
    def window(cls, node: ir.Node) -> NodeWindow:
        """The window; ceil_mode becomes padding at the end, which is never counted."""
        return NodeWindow.of(node)

    @classmethod
    def extra(cls, node: ir.Node) -> tuple[int, ...]:
        """What ceil_mode adds at the end of each axis, beyond the padding."""
        window = NodeWindow.of(node)
        n = len(window.kernel)
        extra = []
        for i, (size, out) in enumerate(zip(shape(node.inputs[0])[2:], shape(node.outputs[0])[2:], strict=True)):
            reach = (out - 1) * window.strides[i] + (window.kernel[i] - 1) * window.dilations[i] + 1
            extra.append(max(0, reach - (size + window.pads[i] + window.pads[n + i])))
        return tuple(extra)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Sum over the window divided by the number of elements that count."""
        x = inputs[0]
        assert x is not None
        count = cls.counts(node, x.new_ones((1, 1, *x.shape[2:])))
        window, extra = NodeWindow.of(node), cls.extra(node)
        n = len(window.kernel)
        begins, ends = window.pads[:n], window.pads[n:]
        x = F.pad(x, [p for b, e, m in reversed([*zip(begins, ends, extra, strict=True)]) for p in (b, e + m)])
        total = cls._sums(window, x.flatten(0, 1)[:, None])
        return total.reshape(*x.shape[:2], *total.shape[2:]) / count

    @classmethod
    def counts(cls, node: ir.Node, ones: Tensor) -> Tensor:
        """How many elements of each window count: (1, 1, *S') for an image of ones (1, 1, *S)."""
        window, extra = NodeWindow.of(node), cls.extra(node)
        n = len(window.kernel)
        counted = bool(attribute(node, "count_include_pad", 0))
        inner = [p for b, e in zip(reversed(window.pads[:n]), reversed(window.pads[n:]), strict=True) for p in (b, e)]
        outer = [p for e in reversed(extra) for p in (0, e)]
        return cls._sums(window, F.pad(F.pad(ones, inner, value=float(counted)), outer))

    @staticmethod
    def _sums(window: NodeWindow, x: Tensor) -> Tensor:
        """Sums over every window of a padded image with one channel."""
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(window.kernel) - 1]
        return convolve(x, x.new_ones((1, 1, *window.kernel)), None, window.strides, 0, window.dilations)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A mean has a smaller range than what it is taken of."""
        return Contract((Role.ACTIVATION,), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `average_pool2d`, two over a volume, the first with a result of 16 bits."""
        if rank(node.inputs[0]) == 5:
            cls._lower_volume(node, to)
            return
        window, extra = NodeWindow.of(node), cls.extra(node)
        flat = window.two_dimensional()
        end = extra if len(extra) == 2 else (0, *extra)
        x = as_image(node, to)
        result = to.result(node)
        operator = AveragePool2d.from_real(
            x.quant,
            result.params,
            input_shape=x.shape[1:3],
            kernel=flat.kernel,
            strides=flat.strides,
            dilations=flat.dilations,
            pads=flat.pads,
            extra=end,
            count_include_pad=bool(attribute(node, "count_include_pad", 0)),
            rule=to.rule,
            low=result.low,
            high=result.high,
        )
        from_image(node, to, operator, [x], rank(node.inputs[0]))

    @classmethod
    def _lower_volume(cls, node: ir.Node, to: Lowering) -> None:
        """Means over the depth, and of these means over each slice: the counts of a box are products of counts."""
        window, extra, result = NodeWindow.of(node), cls.extra(node), to.result(node)
        x = to.operand(node.inputs[0], axes=channels_last(5))
        depth, plane, size = depth_window(window), plane_window(window), (x.shape[2], x.shape[3])
        image = as_depth_rows(node, to, x)

        def mean(over: NodeWindow, image: Placed, beyond: tuple[int, ...], y: QuantParams, *, last: bool) -> Placed:
            operator = AveragePool2d.from_real(
                image.quant,
                y,
                input_shape=image.shape[1:3],
                kernel=over.kernel,
                strides=over.strides,
                dilations=over.dilations,
                pads=over.pads,
                extra=beyond,
                count_include_pad=bool(attribute(node, "count_include_pad", 0)),
                rule=to.rule,
                low=result.low if last else None,
                high=result.high if last else None,
            )
            return to.step(node, operator, [image], y)

        if not moves(plane) and not any(extra[1:]):
            y = mean(depth, image, (extra[0], 0), result.params, last=True)
            emit_depth_rows(node, to, y, size, result)
            return
        if moves(depth) or extra[0]:
            image = mean(depth, image, (extra[0], 0), _finer(x.quant), last=False)
        image = as_planes(node, to, image, size)
        y = mean(plane, image, extra[1:], result.params, last=True)
        emit_planes(node, to, y, shape(result.value)[2], result)


def _finer(x: QuantParams) -> QuantParams:
    """A grid for means of x that are averaged again: 64 times as fine where x has 8 bits or less."""
    return QuantParams(INT16, x.scale / np.float32(64)) if x.type.bits <= 8 else x


class GlobalAveragePool(FloatOperator):
    """ONNX GlobalAveragePool."""

    op_types = ("GlobalAveragePool",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Mean over every spatial axis, which stay with size 1."""
        x = inputs[0]
        assert x is not None
        return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A mean has a smaller range than what it is taken of."""
        return Contract((Role.ACTIVATION,), fuses_clamp=True)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reduce_sum` whose factor holds 1/N."""
        size = shape(node.inputs[0])
        x = to.operand(node.inputs[0], axes=channels_last(len(size)))
        result = to.result(node)
        operator = ReduceSum.from_real(
            x.quant,
            result.params,
            axes=tuple(range(1, len(size) - 1)),
            keepdims=True,
            factor=1.0 / math.prod(size[2:]),
            count=math.prod(size[2:]),
            rule=to.rule,
            low=result.low,
            high=result.high,
            accumulator=to.accumulator,
        )
        to.emit(node, operator, [x], result.value, x.axes)
