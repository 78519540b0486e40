"""Average pools in the forms that ONNX Runtime's optimizer keeps right.

It makes QLinearAveragePool of an AveragePool between pairs. That operator refuses `dilations`, even the default, and
with `ceil_mode` it divides by the whole window where cells lie outside. So neither is written:

    ceil_mode                    pads at the ends, which the mean does not count
    ceil_mode, padding counted   a Pad in front: its zeros are cells like others
    dilations                    a depthwise convolution with weights of 1/n; where some window has fewer than n cells
                                 that count, a product with n / count behind it
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch

from intaglio.export.build_qdq import Builder
from intaglio.graph import attribute, shape
from intaglio.graph.edit import set_attribute
from intaglio.ops.pooling import AveragePool


def write_average_pool(build: Builder, node: ir.Node) -> None:
    """Give an AveragePool the form that is written, before there are pairs around it."""
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
    """Zeros around the node's input."""
    x = node.inputs[0]
    assert x is not None
    size = tuple(b + s + e for b, s, e in zip(begins, shape(x), ends, strict=True))
    amounts = build.initializer(f"{node.name}_pads", ir.Tensor(np.array([*begins, *ends], np.int64)))
    padded = build.node("Pad", [x, amounts], {}, f"{node.name}_padded", ir.DataType.FLOAT, size)
    build.graph.insert_before(node, padded)
    node.replace_input_with(0, padded.outputs[0])


def _convolution(build: Builder, node: ir.Node, shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    """Turn the pool into a depthwise convolution, times n / count where that is not 1 everywhere.

    Its weights are codes of 1 on the scale 1/n, so a runtime that computes with integers can do so here too.
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
