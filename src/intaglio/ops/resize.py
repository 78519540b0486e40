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
from intaglio.graph.access import attribute
from intaglio.number import Rule
from intaglio.ops.contract import Contract, Own, Role, Same
from intaglio.ops.float_operator import Axes, FloatOperator, Lowering, Placed
from intaglio.ops.operands import require_one_of
from intaglio.ops.positions import COORDINATES, ROUND, ResizedAxis, resized_axes, unchanged_axis
from intaglio.program import Operator
from intaglio.program.factors import zero_point_of
from intaglio.program.operators.gather import Gather
from intaglio.program.operators.pad import Pad
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.resize_bilinear import ResizeBilinear

ROLES = (Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE, Role.OFFLINE)


def _mode(node: ir.Node) -> str:
    return str(attribute(node, "mode", "nearest"))


class Resize(FloatOperator):
    """ONNX Resize: nearest and linear, every coordinate mode, any axes, scales or sizes."""

    op_types = ("Resize",)
    fixed = (1, 2, 3)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """The nearest neighbour or linear interpolation."""
        require_one_of(node, "nearest_mode", tuple(ROUND), "round_prefer_floor")
        require_one_of(node, "coordinate_transformation_mode", COORDINATES, "half_pixel")
        require_one_of(node, "antialias", (0,), 0)
        require_one_of(node, "keep_aspect_ratio_policy", ("stretch",), "stretch")
        cls.axes(node)
        if _mode(node) == "cubic" and attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
            raise UnsupportedOperatorError(  # cubic ones are rewritten before, except for what is refused above
                f"[Resize {node.name!r}] expected a roi with nearest or linear interpolation, got cubic; crop first"
            )
        require_one_of(node, "mode", ("nearest", "linear"), "nearest")

    @classmethod
    def axes(cls, node: ir.Node) -> list[ResizedAxis]:
        """The axes that change.

        Raises:
            UnsupportedOperatorError: linear ones along more than two axes, or nothing of the input is seen.
        """
        parts = resized_axes(node)
        if len(parts) > 2 and _mode(node) == "linear":
            raise UnsupportedOperatorError(
                f"[Resize {node.name!r}] expected linear interpolation along at most 2 axes, got {len(parts)}; "
                "resize one after the other"
            )
        if any(part.outside.all() for part in parts):
            raise UnsupportedOperatorError(
                f"[Resize {node.name!r}] expected a roi that overlaps the input, got one outside"
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
        """A `gather` per axis or one `resize_bilinear` on the input's grid, then a `pad` for what lies outside."""
        source, value, parts = node.inputs[0], node.outputs[0], cls.axes(node)
        seen = [part.seen() for part in parts]
        x, params = to.operand(source), to.result(node).params
        if not parts:
            to.alias(value, x, x.axes)
            return
        operators: list[Operator]
        if _mode(node) == "nearest":
            nearest = attribute(node, "nearest_mode", "round_prefer_floor")
            operators = [Gather(axis=x.axis(part.axis), indices=part.nearest(nearest)) for part in seen]
        else:
            x = to.operand(source, axes=_image_order(x.axes, parts))
            operators = _interpolation(to, x, seen)
        if params != x.quant:  # they have room for an extrapolation value
            operators.append(Requantize.from_real(x.quant, params, rule=to.rule))
        if any(part.outside.any() for part in parts):
            fill = int(params.quantize(np.float32(attribute(node, "extrapolation_value", 0.0))))
            around = {part.axis: part.around for part in parts}
            before, after = zip(*(around.get(axis, (0, 0)) for axis in x.axes), strict=True)
            operators.append(Pad(before=before, after=after, value=fill))
        y = x
        for operator in operators[:-1]:
            y = to.step(node, operator, [y], params if isinstance(operator, Requantize) else y.params)
        to.emit(node, operators[-1], [y], value, x.axes)


def _image_order(order: Axes, parts: list[ResizedAxis]) -> Axes:
    """Two resized axes lie side by side behind the first one, so that they are the rows and columns of an image."""
    if len(parts) < 2:
        return order
    resized = tuple(sorted((part.axis for part in parts), key=order.index))
    lead = order[:1] if order[0] not in resized else ()
    return (*lead, *resized, *(axis for axis in order if axis not in (*lead, *resized)))


def _interpolation(to: Lowering, x: Placed, parts: list[ResizedAxis]) -> list[Operator]:
    """`resize_bilinear` over x seen as an image: (first axis, rows, columns, everything behind)."""
    parts = sorted(parts, key=lambda part: x.axes.index(part.axis))
    last = x.axes.index(parts[-1].axis)
    lead = int(x.axes[0] != parts[0].axis)
    first = to.leading(x.shape[0]) if lead else 1
    image = (first, math.prod(x.shape[lead:last]), x.shape[last], math.prod(x.shape[last + 1 :]))
    rows, columns = parts if len(parts) == 2 else (unchanged_axis(image[1]), *parts)
    operator = ResizeBilinear.from_positions(
        rows.at,
        columns.at,
        height=image[1],
        width=image[2],
        bits=11 if x.type.bits <= 8 else 14,
        zero_point=zero_point_of(x.quant) if to.rule is Rule.HALF_EVEN else None,
    )
    if len(x.shape) == 4 and lead and last == 2:
        return [operator]
    size = list(x.shape)
    for part in parts:
        size[x.axes.index(part.axis)] = len(part.at)
    return [Reshape(to=image), operator, Reshape(to=(first if lead else size[0], *size[1:]))]
