"""Transposed convolution over one to three spatial axes.   y[s*i + d*k - pad] += sum w[c, o, k] * x[c, i]"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph.access import attribute, shape
from intaglio.number import QuantParams
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.volumes import convolve_volume, crop_volume, spread_volume
from intaglio.ops.window_nodes import NodeWindow, as_image, channels_last, from_image, require_at_most_three_axes
from intaglio.program.operators.conv_transpose2d import ConvTranspose2d


class ConvTranspose(FloatOperator):
    """ONNX ConvTranspose: 1-D, 2-D and 3-D, groups, strides, dilations, any padding and output padding."""

    op_types = ("ConvTranspose",)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Sequences, images and volumes."""
        require_at_most_three_axes(node)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """x (N, I, *S), w (I, O/g, *K), b (O,) to (N, O, *S')."""
        x, w, b = (*inputs, None)[:3]
        assert x is not None and w is not None
        window = NodeWindow.of(node, kernel=tuple(w.shape[2:]))
        n = len(window.kernel)
        spread = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
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
        """One `conv_transpose2d`; a 1-D one is an image of height 1, a volume with zeros in it is convolved."""
        groups = attribute(node, "group", 1)
        codes, weight = to.weight(node.inputs[1])
        if codes.ndim == 5:
            cls._lower_volume(node, to, codes, weight, groups)
            return
        window = NodeWindow.of(node).two_dimensional()
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

    @classmethod
    def _lower_volume(cls, node: ir.Node, to: Lowering, codes: NDArray[Any], weight: QuantParams, groups: int) -> None:
        """Convolve the input, which gets zeros between its elements, with the weight backwards."""
        window, strides = NodeWindow.of(node), attribute(node, "strides", (1, 1, 1))
        # (I, O/g, *K) to (O, I/g, *K), group after group
        parts = [part.swapaxes(0, 1) for part in np.split(codes, groups)]
        turned = np.concatenate(parts)[:, :, ::-1, ::-1, ::-1]
        bias = to.bias(node.inputs[2] if len(node.inputs) > 2 else None, len(turned))
        extra = attribute(node, "output_padding", (0, 0, 0))
        pads = []
        for end in (0, 1):
            for axis in range(3):
                reach = (window.kernel[axis] - 1) * window.dilations[axis]
                behind = extra[axis] - (strides[axis] - 1) if end else 0  # zeros behind the last element are there
                pads.append(reach - window.pads[axis + 3 * end] + behind)
        x = spread_volume(node, to, to.operand(node.inputs[0], axes=channels_last(5)), strides)
        x, left = crop_volume(node, to, x, pads)
        whole = NodeWindow(window.kernel, (1, 1, 1), window.dilations, left)
        convolve_volume(node, to, x, whole, turned, weight, bias, groups)
