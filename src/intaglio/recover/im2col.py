"""im2col: write a layer as a matrix product over some of its output positions.

    y[g, p, o] = b[g, o] + sum over k of x[g, p, k] * w[g, k, o]

g: group, p: output position (of all samples), k: summation index of an output, o: output channel of a group. The cost
of learning a layer's weights then does not depend on image sizes, and only inputs of the picked positions are in
memory. A transposed convolution is computed as a convolution of its input with zeros inserted.
"""

from __future__ import annotations

import math

import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import attribute, shape
from intaglio.graph.operators import facts, named
from intaglio.ops.window_nodes import NodeWindow

LAYERS = named("product")
"""Operators with constant weights that this file supports."""


def positions(node: ir.Node) -> int:
    """Return the number of output positions of one sample."""
    sizes = shape(node.outputs[0])
    if facts(node.op_type).channels_first:
        return math.prod(sizes[2:])
    return math.prod(sizes[1:-1])


def weight_index(node: ir.Node) -> Tensor:
    """Return the indices of the matrix elements in the flattened weight: int64, (G, K, O / G)."""
    size = shape(node.inputs[1])
    index = torch.arange(math.prod(size)).reshape(size)
    if not facts(node.op_type).channels_first:
        return (index.T if attribute(node, "transB", 0) else index)[None]
    groups = attribute(node, "group", 1)
    if node.op_type == "Conv":
        return index.reshape(groups, size[0] // groups, -1).transpose(1, 2)
    # weight (I, O/g, *K): as a convolution, its kernel is flipped
    turned = index.flip(tuple(range(2, len(size)))).reshape(groups, size[0] // groups, size[1], -1)
    return turned.transpose(2, 3).reshape(groups, -1, size[1])


def rows(node: ir.Node, x: Tensor, pick: Tensor) -> Tensor:
    """Return the inputs that the picked output positions sum over (im2col).

    Args:
        node: a node with an operator of `LAYERS`.
        x: its input, (N, ...).
        pick: (N, P) int64, positions of each sample.
    Returns:
        Matrix rows, (G, N * P, K).
    """
    n = torch.arange(len(pick), device=x.device)[:, None]
    if not facts(node.op_type).channels_first:
        x = x.T if attribute(node, "transA", 0) else x
        picked = x.reshape(len(pick), -1, x.shape[-1])[n, pick]
        return picked.reshape(1, -1, x.shape[-1]) * float(attribute(node, "alpha", 1.0))
    window = NodeWindow.of(node, kernel=shape(node.inputs[1])[2:])
    x, strides = _spread(node, window, x) if node.op_type == "ConvTranspose" else (_padded(x, window.pads), None)
    for axis, (kernel, stride, dilation) in enumerate(
        zip(window.kernel, strides or window.strides, window.dilations, strict=True), start=2
    ):
        x = x.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
    axes = len(window.kernel)
    inner = torch.unravel_index(pick, tuple(x.shape[2 : 2 + axes]))
    where: tuple[Tensor | slice, ...] = (n, slice(None), *inner)
    picked = x[where]  # (N, P, C, *kernel): only these are copied
    groups = attribute(node, "group", 1)
    return picked.reshape(pick.numel(), groups, -1).transpose(0, 1)


def outputs(node: ir.Node, y: Tensor, pick: Tensor) -> Tensor:
    """Return a layer's outputs at the picked positions, (G, N * P, O / G). y: (N, ...), pick: (N, P)."""
    n = torch.arange(len(pick), device=y.device)[:, None]
    if not facts(node.op_type).channels_first:
        return y.reshape(len(pick), -1, y.shape[-1])[n, pick].reshape(1, -1, y.shape[-1])
    picked = y.reshape(*y.shape[:2], -1)[n, :, pick]  # (N, P, O)
    return picked.reshape(pick.numel(), attribute(node, "group", 1), -1).transpose(0, 1)


def samples_in(node: ir.Node, x: Tensor) -> int:
    """Return the number of samples in a layer's input; a vector is one sample."""
    if x.ndim == 1:
        return 1
    return x.shape[1] if node.op_type == "Gemm" and attribute(node, "transA", 0) else len(x)


def _padded(x: Tensor, pads: tuple[int, ...]) -> Tensor:
    """Pad an image with zeros; negative pads crop. pads: begins, then ends."""
    n = len(pads) // 2
    return F.pad(x, [p for i in reversed(range(n)) for p in (pads[i], pads[n + i])])


def _spread(node: ir.Node, window: NodeWindow, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Insert zeros into a transposed convolution's input; return input and strides of the equal convolution."""
    axes = len(window.kernel)
    size = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], window.strides, strict=True)]
    wide = x.new_zeros((*x.shape[:2], *size))
    grid: tuple[slice, ...] = (slice(None), slice(None), *(slice(None, None, s) for s in window.strides))
    wide[grid] = x
    reach = [d * (k - 1) for d, k in zip(window.dilations, window.kernel, strict=True)]
    extra = attribute(node, "output_padding", (0,) * axes)
    begins = [r - p for r, p in zip(reach, window.pads[:axes], strict=True)]
    ends = [r - p + e for r, p, e in zip(reach, window.pads[axes:], extra, strict=True)]
    return _padded(wide, (*begins, *ends)), (1,) * axes
