"""Transposed convolution over one or two spatial axes.   y[s*i + d*k - pad] += sum w[c, o, k] * x[c, i]"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import attribute, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.window_nodes import NodeWindow, as_image, from_image, require_at_most_two_axes
from intaglio.program.operators.conv_transpose2d import ConvTranspose2d


class ConvTranspose(FloatOperator):
    """ONNX ConvTranspose: 1-D and 2-D, groups, strides, dilations, any padding and output padding."""

    op_types = ("ConvTranspose",)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Sequences and images."""
        require_at_most_two_axes(node)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """x (N, I, *S), w (I, O/g, *K), b (O,) to (N, O, *S')."""
        x, w, b = (*inputs, None)[:3]
        assert x is not None and w is not None
        window = NodeWindow.of(node, kernel=tuple(w.shape[2:]))
        n = len(window.kernel)
        spread = F.conv_transpose1d if n == 1 else F.conv_transpose2d
        y = spread(x, w, None, window.strides, 0, 0, attribute(node, "group", 1), window.dilations)
        # Pads crop the ends, output_padding gives them back: each end on its own, as torch cannot.
        extra = attribute(node, "output_padding", (0,) * n)
        y = F.pad(y, [p for i in reversed(range(n)) for p in (-window.pads[i], extra[i] - window.pads[n + i])])
        return y if b is None else y + b.reshape(-1, *(1,) * n)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Weight per output channel where one of its axes is just that: 1 for a single group, 0 for a depthwise one.

        Between the two, (I, O/g, *K) has no axis of output channels: one scale for the whole weight.
        """
        group, (inputs, per_group) = attribute(node, "group", 1), shape(node.inputs[1])[:2]
        weight_axis = 1 if group == 1 else 0 if per_group == 1 and inputs == group else None
        return Contract(
            (Role.ACTIVATION, Role.WEIGHT, Role.BIAS), fuses_clamp=True, fuses_sign=True, weight_axis=weight_axis
        )

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `conv_transpose2d`; a 1-D one is an image of height 1."""
        window, groups = NodeWindow.of(node).two_dimensional(), attribute(node, "group", 1)
        codes, weight = to.weight(node.inputs[1])
        codes = codes.reshape(*codes.shape[:2], -1, codes.shape[-1])
        # (I, O/g, kh, kw) to (O, kh, kw, I/g), group after group
        parts = [part.transpose(1, 2, 3, 0) for part in np.split(codes, groups)]
        codes = np.ascontiguousarray(np.concatenate(parts))
        bias = to.bias(node.inputs[2] if len(node.inputs) > 2 else None, len(codes))
        x, result = as_image(node, to), to.result(node)
        extra = attribute(node, "output_padding", (0,) * (len(shape(node.inputs[0])) - 2))
        operator = ConvTranspose2d.from_real(
            x.quant,
            weight,
            result.params,
            codes,
            bias,
            to.rule,
            strides=window.strides,
            dilations=window.dilations,
            pads=window.pads,
            output_padding=extra if len(extra) == 2 else (0, *extra),
            groups=groups,
            low=result.low,
            high=result.high,
            accumulator=to.accumulator,
        )
        from_image(node, to, operator, [x], len(shape(node.inputs[0])))
