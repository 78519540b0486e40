"""Resize by nearest neighbours or linear interpolation, axis by axis.

    nearest: y[i] = x[round(c(i))]        linear: y[i] = (1 - w) * x[j] + w * x[j + 1],  j = floor(c(i)), w = c(i) - j

`c` maps a position of the result to one of the input; indices outside are those of the edge.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, input_value, shape
from intaglio.ops.contract import Contract, Own, Role, Same
from intaglio.ops.operator import Axes, FloatOperator, Lowering, Placed
from intaglio.ops.positions import ResizedAxis, resized_axes, unchanged_axis
from intaglio.program.operators.gather import Gather
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.resize_bilinear import ResizeBilinear

ROLES = (Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE, Role.OFFLINE)


def _mode(node: ir.Node) -> str:
    return str(attribute(node, "mode", "nearest"))


class Resize(FloatOperator):
    """ONNX Resize: nearest and linear, every coordinate mode, any axes, scales or sizes."""

    op_types = ("Resize",)

    @classmethod
    def axes(cls, node: ir.Node) -> list[ResizedAxis]:
        """The axes that change.

        Raises:
            UnsupportedOperatorError: another interpolation, computed sizes, or linear ones along more than two axes.
        """
        for what, allowed, got in (
            ("mode", ("nearest", "linear"), _mode(node)),
            ("antialias", (0,), attribute(node, "antialias", 0)),
            ("keep_aspect_ratio_policy", ("stretch",), attribute(node, "keep_aspect_ratio_policy", "stretch")),
        ):
            if got not in allowed:
                raise UnsupportedOperatorError(
                    f"[Resize {node.name!r}] expected {what} {' or '.join(map(str, allowed))}, got {got}; export the "
                    "model with one of these"
                )
        for index, what in ((1, "roi"), (2, "scales"), (3, "sizes")):
            value = input_value(node, index)
            if value is not None and constant(value) is None:
                raise UnsupportedOperatorError(f"[Resize {node.name!r}] expected constant {what}, got a computed one")
        parts = resized_axes(node)
        if len(parts) > 2 and (_mode(node) == "linear" or any(part.outside.any() for part in parts)):
            raise UnsupportedOperatorError(
                f"[Resize {node.name!r}] expected linear interpolation along at most 2 axes, got {len(parts)}; "
                "resize one after the other"
            )
        return parts

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Axis by axis."""
        y = inputs[0]
        assert y is not None
        axes = cls.axes(node)
        for part in axes:
            if _mode(node) == "nearest":
                index = torch.as_tensor(
                    part.nearest(attribute(node, "nearest_mode", "round_prefer_floor")), device=y.device
                )
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
        outside = any(part.outside.any() for part in cls.axes(node))
        own = outside and attribute(node, "extrapolation_value", 0.0) != 0.0
        return Contract(ROLES, Own() if own else Same(0, rounds=_mode(node) == "linear"))

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """A `gather` per axis for nearest neighbours, else one `resize_bilinear`; both keep the input's grid."""
        source, value, parts = node.inputs[0], node.outputs[0], cls.axes(node)
        outside = any(part.outside.any() for part in parts)
        gathers = _mode(node) == "nearest" and not outside
        x = to.operand(source)
        if not gathers:
            x = to.operand(source, axes=_image_order(x.axes, parts))
        params = to.result(node).params
        if params != x.quant:  # it has room for an extrapolation value
            x = to.step(node, Requantize.from_real(x.quant, params, rule=to.rule), [x], params, x.axes)
        if not parts:
            to.alias(value, x, x.axes)
        elif gathers:
            mode = attribute(node, "nearest_mode", "round_prefer_floor")
            operators = [Gather(axis=x.axis(part.axis), indices=part.nearest(mode)) for part in parts]
            for operator in operators[:-1]:
                x = to.step(node, operator, [x], params, x.axes)
            to.emit(node, operators[-1], [x], value, x.axes)
        else:
            fill = int(params.quantize(np.float32(attribute(node, "extrapolation_value", 0.0))))
            _interpolate(node, to, x, parts, fill)


def _image_order(order: Axes, parts: list[ResizedAxis]) -> Axes:
    """Two resized axes lie side by side behind the first one, so that they are the rows and columns of an image."""
    if len(parts) < 2:
        return order
    resized = tuple(sorted((part.axis for part in parts), key=order.index))
    lead = order[:1] if order[0] not in resized else ()
    return (*lead, *resized, *(axis for axis in order if axis not in (*lead, *resized)))


def _interpolate(node: ir.Node, to: Lowering, x: Placed, parts: list[ResizedAxis], fill: int) -> None:
    """Emit `resize_bilinear` over x seen as an image: (first axis, rows, columns, everything behind)."""
    value, order = node.outputs[0], x.axes
    parts = sorted(parts, key=lambda part: order.index(part.axis))
    last = order.index(parts[-1].axis)
    lead = int(order[0] != parts[0].axis)
    first = to.leading(x.shape[0]) if lead else 1
    height, width, channels = math.prod(x.shape[lead:last]), x.shape[last], math.prod(x.shape[last + 1 :])
    image = x
    if len(x.shape) != 4 or x.shape[1:] != (height, width, channels):
        image = to.step(node, Reshape(to=(first, height, width, channels)), [x], x.params)
    nearest = attribute(node, "nearest_mode", "round_prefer_floor") if _mode(node) == "nearest" else None
    rows, columns = parts if len(parts) == 2 else (unchanged_axis(height), *parts)
    operator = ResizeBilinear.from_positions(
        rows.at if nearest is None else rows.nearest(nearest),
        columns.at if nearest is None else columns.nearest(nearest),
        height=height,
        width=width,
        rows_outside=rows.outside,
        columns_outside=columns.outside,
        fill=fill,
        bits=11 if x.type.bits <= 8 else 14,
    )
    if image is x:
        to.emit(node, operator, [x], value, order)
        return
    y = to.step(node, operator, [image], x.params)
    size = tuple(shape(value)[axis] for axis in order)
    to.emit(node, Reshape(to=(first if lead else size[0], *size[1:])), [y], value, order)
