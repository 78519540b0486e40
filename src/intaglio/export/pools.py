"""Export average pools in forms that ONNX Runtime's optimizer computes correctly.

The optimizer turns an AveragePool between QDQ pairs into QLinearAveragePool. That operator refuses `dilations`, even
the default, and with `ceil_mode` it divides by the whole window although cells lie outside. So both are replaced:

    ceil_mode                    padding at the ends, which the mean does not count
    ceil_mode, padding counted   a Pad before it, whose zeros are counted
    dilations                    a depthwise convolution with weights 1/n; if a window has fewer than n counted cells,
                                 followed by a product with n / count
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch

from intaglio.export.build_qdq import Builder
from intaglio.graph import attribute, shape
from intaglio.graph.edit import set_attribute
from intaglio.ops.average_pool import AveragePool


def write_average_pool(build: Builder, node: ir.Node) -> None:
    """Rewrite an AveragePool for export, before QDQ pairs are inserted."""
    window, extra = AveragePool.window(node), AveragePool.extra(node)
    n = len(extra)
    begins, ends = window.pads[:n], window.pads[n:]
    ends_beyond = [end + more for end, more in zip(ends, extra, strict=True)]
    node.attributes.pop("ceil_mode", None)
    if any(step != 1 for step in window.dilations):
        counts = AveragePool.counts(node, torch.ones(1, 1, *shape(node.inputs[0])[2:])).numpy()
        set_attribute(node, "pads", [*begins, *ends_beyond])
        _convolution(build, node, math.prod(window.kernel) / counts.astype(np.float64))
        return
    node.attributes.pop("dilations", None)
    if not any(extra):
        return
    if attribute(node, "count_include_pad", 0) and any(window.pads):
        _pad(build, node, [0, 0, *begins], [0, 0, *ends])
        begins, ends_beyond = (0,) * n, list(extra)
    set_attribute(node, "pads", [*begins, *ends_beyond])
    set_attribute(node, "count_include_pad", 0)


def _pad(build: Builder, node: ir.Node, begins: list[int], ends: list[int]) -> None:
    """Insert a Pad with zeros before the node."""
    x = node.inputs[0]
    assert x is not None
    size = tuple(b + s + e for b, s, e in zip(begins, shape(x), ends, strict=True))
    amounts = build.initializer(f"{node.name}_pads", ir.Tensor(np.array([*begins, *ends], np.int64)))
    padded = build.node("Pad", [x, amounts], {}, f"{node.name}_padded", ir.DataType.FLOAT, size)
    build.graph.insert_before(node, padded)
    node.replace_input_with(0, padded.outputs[0])


def _convolution(build: Builder, node: ir.Node, shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    """Replace the pool by a depthwise convolution, and a product with n / count unless that is 1 everywhere.

    The weights are code 1 with scale 1/n, so integer runtimes can run the convolution on integers.
    """
    x, kernel, label = node.inputs[0], attribute(node, "kernel_shape"), str(node.name)
    assert x is not None
    channels = shape(x)[1]
    size = (channels, 1, *kernel)
    parameters = [
        build.initializer(f"{label}_weight_quantized", ir.Tensor(np.ones(size, np.int8))),
        build.initializer(f"{label}_weight_scale", ir.Tensor(np.array(1 / math.prod(kernel), np.float32))),
        build.initializer(f"{label}_weight_zero_point", ir.Tensor(np.array(0, np.int8))),
    ]
    weight = build.node("DequantizeLinear", parameters, {}, f"{label}_weight", ir.DataType.FLOAT, size)
    build.graph.insert_before(node, weight)
    node.attributes.pop("count_include_pad", None)
    set_attribute(node, "group", channels)
    if (shares == 1.0).all():
        node.op_type = "Conv"
        node.resize_inputs(2)
        node.replace_input_with(1, weight.outputs[0])
        return
    sums = build.node("Conv", [x, weight.outputs[0]], {}, f"{label}_sums", ir.DataType.FLOAT, shape(node.outputs[0]))
    sums.attributes.update(node.attributes)
    build.graph.insert_before(node, sums)
    node.op_type = "Mul"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, sums.outputs[0])
    node.replace_input_with(1, build.initializer(f"{label}_share", ir.Tensor(shares.astype(np.float32))))
