"""Convolution over one to three spatial axes.   y[o] = b[o] + sum w[o, c] * x[c], over a window"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import attribute, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.volumes import convolve_volume
from intaglio.ops.window_nodes import (
    NodeWindow,
    as_image,
    channels_last,
    from_image,
    plain_strides,
    require_at_most_three_axes,
)
from intaglio.program.operators.conv2d import Conv2d


class Conv(FloatOperator):
    """ONNX Conv: 1-D, 2-D and 3-D, groups, strides, dilations, any padding."""

    op_types = ("Conv",)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Sequences, images and volumes."""
        require_at_most_three_axes(node)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """x (N, I, *S), w (O, I/g, *K), b (O,) to (N, O, *S')."""
        x, w, b = (*inputs, None)[:3]
        assert x is not None and w is not None
        window = NodeWindow.of(node, kernel=tuple(w.shape[2:]))
        x, padding = window.pad(x)
        convolve = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
        x, w = plain_strides(x), plain_strides(w)
        return convolve(x, w, b, window.strides, padding, window.dilations, attribute(node, "group", 1))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Weight per output channel on axis 0."""
        roles = (Role.ACTIVATION, Role.WEIGHT, Role.BIAS)
        return Contract(roles, fuses_clamp=True, fuses_sign=True, weight_axis=0)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `conv2d`; a 1-D convolution is an image of height 1, a volume becomes one tall image."""
        codes, weight = to.weight(node.inputs[1])
        bias = to.bias(node.inputs[2] if len(node.inputs) > 2 else None, codes.shape[0])
        groups = attribute(node, "group", 1)
        if codes.ndim == 5:
            volume = to.operand(node.inputs[0], axes=channels_last(5))
            convolve_volume(node, to, volume, NodeWindow.of(node), codes, weight, bias, groups)
            return
        window = NodeWindow.of(node).two_dimensional()
        codes = codes.reshape(*codes.shape[:2], -1, codes.shape[-1])
        x, result = as_image(node, to), to.result(node)
        operator = Conv2d.from_real(
            x.quant,
            weight,
            result.params,
            np.ascontiguousarray(codes.transpose(0, 2, 3, 1)),
            bias,
            to.rule,
            strides=window.strides,
            dilations=window.dilations,
            pads=window.pads,
            groups=groups,
            low=result.low,
            high=result.high,
            accumulator=to.accumulator,
        )
        from_image(node, to, operator, [x], len(shape(node.inputs[0])))
