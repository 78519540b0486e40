"""Maximum over windows.   y = max of x over a window; padding never wins"""

from __future__ import annotations

import math

import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, rank, shape
from intaglio.ops.contract import Contract
from intaglio.ops.movement import MOVES
from intaglio.ops.operator import FloatOperator, Lowering
from intaglio.ops.windows import Window, as_image, channels_last, from_image


def padded_window(node: ir.Node) -> Window:
    """The window of a pool whose ceil_mode, if it has one, is written as padding at the ends."""
    window = Window.of(node)
    n = len(window.kernel)
    pads = list(window.pads)
    for i, (size, out) in enumerate(zip(shape(node.inputs[0])[2:], shape(node.outputs[0])[2:], strict=True)):
        reach = (out - 1) * window.strides[i] + (window.kernel[i] - 1) * window.dilations[i] + 1
        pads[n + i] = max(pads[n + i], reach - size - pads[i])
    return Window(window.kernel, window.strides, window.dilations, tuple(pads))


class MaxPool(FloatOperator):
    """ONNX MaxPool over one or two spatial axes, ceil_mode, dilations."""

    op_types = ("MaxPool",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """(N, C, *S) to (N, C, *S')."""
        x, window = inputs[0], padded_window(node)
        assert x is not None
        n = len(window.kernel)
        x = F.pad(x, [p for i in reversed(range(n)) for p in (window.pads[i], window.pads[n + i])], value=-math.inf)
        pool = F.max_pool1d if n == 1 else F.max_pool2d
        return pool(x, window.kernel, window.strides, 0, window.dilations)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Picks integers."""
        Window.of(node).require_at_most_two_axes(node)
        if any(v.name and (v.uses() or v.is_graph_output()) for v in node.outputs[1:]):
            raise UnsupportedOperatorError(f"[MaxPool {node.name!r}] expected one output, got a reader of its indices")
        return MOVES


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
        return MOVES
