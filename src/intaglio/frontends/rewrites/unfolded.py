"""Windows taken apart and put together: Conv with a computed weight as a MatMul, Col2Im as a transposed convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting, constant_input, is_float
from intaglio.graph.access import attribute, input_value, rank, shape


def conv_of_computed(to: Rewriting) -> None:
    """Rewrite Conv with a computed weight -> MatMul of the weight and the windows of the input, as columns."""
    x, weight, bias = to.input(0), to.input(1), input_value(to.node, 2)
    maker = weight.producer()
    if weight.is_initializer() or (maker is not None and maker.op_type == "DequantizeLinear"):
        return  # the weight of a quantized file is a constant too
    n, group = rank(x) - 2, int(attribute(to.node, "group", 1))
    outputs, _, *kernel = shape(weight)
    samples, channels = shape(x)[:2]
    columns = _windows(to, x, kernel)
    target = shape(to.node.outputs[0])
    places, depth = math.prod(target[2:]), channels // group * math.prod(kernel)
    columns = to.reshape(columns, (samples, group, depth, places))
    rows = to.reshape(weight, (1, group, outputs // group, depth))
    y = to.reshape(to.apply("MatMul", rows, columns), target)
    if bias is not None:
        y = to.apply("Add", y, to.reshape(bias, (outputs, *(1,) * n)))
    to.finish(y)


def _windows(to: Rewriting, x: ir.Value, kernel: Sequence[int]) -> ir.Value:
    """Collect the windows of (N, C, *S) as (N, C, *kernel, *places)."""
    n = len(kernel)
    pads, strides, dilations = (attribute(to.node, name) for name in ("pads", "strides", "dilations"))
    x = to.pad(x, {axis + 2: (pads[axis], pads[axis + n]) for axis in range(n)})
    for axis in reversed(range(n)):
        size, reach = shape(x)[axis + 2], (kernel[axis] - 1) * dilations[axis] + 1
        starts = np.arange((size - reach) // strides[axis] + 1) * strides[axis]
        x = to.gather(x, axis + 2, np.arange(kernel[axis])[:, None] * dilations[axis] + starts)
    order = [0, 1, *(2 + 2 * axis for axis in range(n)), *(3 + 2 * axis for axis in range(n))]
    return to.transpose(x, order)


def col2im(to: Rewriting) -> None:
    """Rewrite Col2Im -> ConvTranspose with a weight of zeros and ones: overlapping windows add up."""
    image, block = constant_input(to.node, 1), constant_input(to.node, 2)
    if image is None or block is None or not is_float(to.input(0)):
        return
    n, kernel, size = len(block), block.tolist(), image.tolist()
    strides = list(attribute(to.node, "strides", (1,) * n))
    dilations = list(attribute(to.node, "dilations", (1,) * n))
    pads = list(attribute(to.node, "pads", (0,) * 2 * n))
    samples, taps = shape(to.input(0))[:2]
    count = math.prod(kernel)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    wide = [size[axis] + pads[axis] + pads[axis + n] for axis in range(n)]
    places = [(wide[axis] - reach[axis]) // strides[axis] + 1 for axis in range(n)]
    weight = np.tile(np.eye(count, dtype=np.float32), (taps // count, 1)).reshape(taps, 1, *kernel)
    y = to.apply(
        "ConvTranspose",
        to.reshape(to.input(0), (samples, taps, *places)),
        to.array(weight, "taps"),
        group=taps // count,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        output_padding=[wide[a] - (places[a] - 1) * strides[a] - reach[a] for a in range(n)],
    )
    to.finish(y)
