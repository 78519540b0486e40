"""Sliding windows: strides, dilations and padding of convolutions and pools, and images in channels-last order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, rank, shape, where
from intaglio.ops.float_operator import Lowering, Placed
from intaglio.program import Operator
from intaglio.program.operators.reshape import Reshape


@dataclass(frozen=True)
class NodeWindow:
    """A window over n spatial axes.

    Args:
        kernel, strides, dilations: one per axis.
        pads: begins, then ends (ONNX order).
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @classmethod
    def of(cls, node: ir.Node, kernel: tuple[int, ...] | None = None) -> NodeWindow:
        """The window of a Conv, ConvTranspose or pool node; `auto_pad` is resolved from the input's shape."""
        if kernel is None:
            kernel = attribute(node, "kernel_shape") or shape(node.inputs[1])[2:]
        axes = len(kernel)
        strides = attribute(node, "strides", (1,) * axes)
        dilations = attribute(node, "dilations", (1,) * axes)
        pads = attribute(node, "pads", (0,) * 2 * axes)
        auto = attribute(node, "auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER") and node.op_type != "ConvTranspose":
            pads = _same_pads(shape(node.inputs[0])[2:], kernel, strides, dilations, upper=auto == "SAME_UPPER")
        elif auto == "VALID":
            pads = (0,) * 2 * axes
        return cls(tuple(kernel), tuple(strides), tuple(dilations), tuple(pads))

    def pad(self, x: Tensor, value: float = 0.0) -> tuple[Tensor, tuple[int, ...]]:
        """The input, padded beforehand only where the two sides differ, and the padding left to the operator."""
        n = len(self.kernel)
        begins, ends = self.pads[:n], self.pads[n:]
        if begins == ends:
            return x, begins
        flat = [p for begin, end in zip(reversed(begins), reversed(ends), strict=True) for p in (begin, end)]
        return F.pad(x, flat, value=value), (0,) * n

    def two_dimensional(self) -> NodeWindow:
        """The same window over an image; one axis becomes the width of an image of height 1."""
        if len(self.kernel) == 2:
            return self
        (k,), (s,), (d,), (begin, end) = self.kernel, self.strides, self.dilations, self.pads
        return replace(self, kernel=(1, k), strides=(1, s), dilations=(1, d), pads=(0, begin, 0, end))


def require_at_most_three_axes(node: ir.Node) -> None:
    """Refuse windows that PyTorch has no function for.

    Raises:
        UnsupportedOperatorError: a window over four or more spatial axes, or over none.
    """
    axes = rank(node.inputs[0]) - 2
    if axes not in (1, 2, 3):
        raise UnsupportedOperatorError(
            f"{where(node)} expected 1 to 3 spatial axes, got {axes}; write it as a sum over windows of fewer axes"
        )


def plain_strides(x: Tensor) -> Tensor:
    """The same numbers, never with the strides of channels-last where there is one channel only.

    Such a tensor counts as contiguous whatever the stride of that channel; told channels-last, torch's convolution on a
    CPU returns wrong numbers for some shapes (2.13; pytorch/pytorch issue 82060 is of that kind). A new view has the
    strides that its shape implies and copies nothing.
    """
    return x.contiguous().view(-1).view(x.shape) if x.shape[1] == 1 else x


def _same_pads(
    size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], *, upper: bool
) -> tuple[int, ...]:
    begins, ends = [], []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        small, large = total // 2, total - total // 2
        begins.append(small if upper else large)
        ends.append(large if upper else small)
    return (*begins, *ends)


def channels_last(rank: int) -> tuple[int, ...]:
    """Graph axes in channels-last order: (0, 2, 3, 1) for images."""
    return (0, *range(2, rank), 1)


def as_image(node: ir.Node, to: Lowering) -> Placed:
    """A node's first input as (N, H, W, C); a sequence (N, C, L) becomes an image of height 1."""
    value = node.inputs[0]
    assert value is not None
    placed = to.operand(value, axes=channels_last(rank(value)))
    if rank(value) == 4:
        return placed
    n, length, channels = placed.shape
    reshape = Reshape(to=(to.leading(n), 1, length, channels))
    return to.step(node, reshape, [placed], placed.params)


def from_image(node: ir.Node, to: Lowering, operator: Operator, inputs: Sequence[Placed], graph_rank: int) -> None:
    """Emit an image operator as the node's result, back in the rank that the Graph has."""
    value = to.result(node).value
    if graph_rank == 4:
        to.emit(node, operator, inputs, value, channels_last(4))
        return
    image = to.step(node, operator, inputs, to.result(node).params)
    n, _, length, channels = image.shape
    to.emit(node, Reshape(to=(to.leading(n), length, channels)), [image], value, channels_last(3))
