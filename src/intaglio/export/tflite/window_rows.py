"""Convolutions and pools: SAME and VALID padding, or a PAD before the operator."""

from __future__ import annotations

import numpy as np

from intaglio.errors import ExportError
from intaglio.export.tflite.fused_clamps import Clamped
from intaglio.export.tflite.kernel_factors import weight_scale
from intaglio.export.tflite.rows import Row, params_of
from intaglio.export.tflite.tflite_file import TfliteFile
from intaglio.number import INT8
from intaglio.program import Node
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.windows import Window


def conv2d(file: TfliteFile, node: Node) -> None:
    """CONV_2D; DEPTHWISE_CONV_2D where each input channel is a group."""
    operator = node.operator
    assert isinstance(operator, Conv2d)
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    if x.type != INT8 or y.type != INT8:
        raise ExportError(f"expected int8 as input and output, got {x.type} and {y.type}")
    scale = weight_scale(operator, x, y)
    outputs, _, _, each = operator.weight.shape
    depthwise = each == 1 and operator.groups > 1
    weight, axis = operator.weight, 0
    if depthwise:
        weight, axis = weight.transpose(3, 1, 2, 0), 3
    given, padding = padded(file, node, operator.window, operator.x_zero_point)
    out = Clamped(file, node.output, operator.low, operator.high)
    options = {
        "Padding": file.flat.number("Padding", padding),
        "StrideH": operator.strides[0],
        "StrideW": operator.strides[1],
        "DilationHFactor": operator.dilations[0],
        "DilationWFactor": operator.dilations[1],
        "FusedActivationFunction": out.activation,
    }
    inputs = [
        given,
        file.weight(f"{node.name}.weight", weight, scale, axis),
        file.bias(f"{node.name}.bias", operator.bias, np.float32(x.scale) * scale),
    ]
    if depthwise:
        options["DepthMultiplier"] = outputs // operator.groups
        file.operator("DEPTHWISE_CONV_2D", inputs, out.output, "DepthwiseConv2DOptions", 3, **options)
    else:
        version = 3 if operator.groups == 1 else 6
        file.operator("CONV_2D", inputs, out.output, "Conv2DOptions", version, **options)
    out.finish()


def average_pool2d(file: TfliteFile, node: Node) -> None:
    """AVERAGE_POOL_2D, which divides by the number of elements inside the image."""
    operator = node.operator
    assert isinstance(operator, AveragePool2d)
    window, image = operator.window, file.program.tensors[node.inputs[0]].shape
    if operator.requantize is not None:
        raise ExportError(
            "expected an average pool whose input and output have the same scale and zero point, got others, which "
            "TFLite's kernel ignores"
        )
    if max(window.dilations) > 1:
        raise ExportError(f"expected a pool without dilations, got {window.dilations}")
    inside = Window(window.kernel, window.strides, window.dilations, window.pads).view(
        np.ones((1, *image[1:3], 1), np.int8), 0
    )
    counts = inside.sum(axis=(3, 4), dtype=np.int64)[0]
    counted_inside = bool((np.broadcast_to(operator.counts, counts.shape) == counts).all())
    whole = bool((operator.counts == window.kernel[0] * window.kernel[1]).all())
    padding = tflite_padding(image, window)
    if padding is None or not counted_inside:
        if not whole:
            raise ExportError(
                f"expected padding as TFLite's SAME or VALID, not counted, got {window.pads} (top, left, bottom, "
                f"right) of an image {image[1:3]}"
            )
        given, padding = padded(file, node, window, operator.x_zero_point, always=True)
    else:
        given = file.tensor(node.inputs[0])
    _pool(file, node, "AVERAGE_POOL_2D", given, padding, window, operator.low, operator.high)


def max_pool2d(file: TfliteFile, node: Node) -> None:
    """MAX_POOL_2D; other padding than TFLite's holds the smallest code."""
    operator = node.operator
    assert isinstance(operator, MaxPool2d)
    if max(operator.dilations) > 1:
        raise ExportError(f"expected a pool without dilations, got {operator.dilations}")
    smallest = file.program.tensors[node.output].type.qmin
    given, padding = padded(file, node, operator.window, smallest)
    _pool(file, node, "MAX_POOL_2D", given, padding, operator.window, operator.low, operator.high)


def _pool(
    file: TfliteFile, node: Node, kind: str, given: int, padding: str, window: Window, low: int, high: int
) -> None:
    out = Clamped(file, node.output, low, high)
    options = {
        "Padding": file.flat.number("Padding", padding),
        "StrideH": window.strides[0],
        "StrideW": window.strides[1],
        "FilterHeight": window.kernel[0],
        "FilterWidth": window.kernel[1],
        "FusedActivationFunction": out.activation,
    }
    file.operator(kind, [given], out.output, "Pool2DOptions", **options)
    out.finish()


def tflite_padding(image: tuple[int, ...], window: Window) -> str | None:
    """Name the padding of TFLite that gives the same windows over an image (N, H, W, C); None if there is none."""
    out = window.out(image[1], image[2])
    fits = {"VALID": True, "SAME": True}
    for i in range(2):
        size, stride, extent, begin = image[1 + i], window.strides[i], window.extent[i], window.pads[i]
        if begin or out[i] != (size - extent) // stride + 1:
            fits["VALID"] = False
        total = max(0, (out[i] - 1) * stride + extent - size)
        if begin != total // 2 or out[i] != -(-size // stride):
            fits["SAME"] = False
    return next((name for name, found in fits.items() if found), None)


def padded(file: TfliteFile, node: Node, window: Window, value: int, *, always: bool = False) -> tuple[int, str]:
    """Return the operator's image and its padding; a PAD before it where neither SAME nor VALID gives the same.

    Args:
        file, node, window: what is written.
        value: code of the padding.
        always: pad with VALID and a PAD in any case.
    """
    name = node.inputs[0]
    info = file.program.tensors[name]
    found = tflite_padding(info.shape, window)
    if found is not None and not (always and any(window.pads)):
        return file.tensor(name), found
    n, h, w, c = info.shape
    out, (top, left, _, _) = window.out(h, w), window.pads
    sizes = [(out[i] - 1) * window.strides[i] + window.extent[i] for i in range(2)]  # what the windows reach
    bottom, right = max(0, sizes[0] - h - top), max(0, sizes[1] - w - left)
    y = file.between(name, f"{node.name}.padded", (n, h + top + bottom, w + left + right, c))
    pads = file.ints(f"{node.name}.pads", np.array([[0, 0], [top, bottom], [left, right], [0, 0]]))
    add_pad(file, name, file.tensor(name), pads, y, value)
    return y, "VALID"


def add_pad(file: TfliteFile, name: str, x: int, pads: int, y: int, value: int) -> None:
    """Add PAD, which adds the zero point, or PADV2 for another code; `name` is a tensor with the same parameters."""
    info = file.program.tensors[name]
    zero_point = 0 if info.params is None else int(info.params.zero_point.reshape(-1)[0])
    if value == zero_point and info.params is not None:
        file.operator("PAD", [x, pads], y, "PadOptions")
        return
    fill = file.codes(f"{name}.fill", np.full((1,), value, info.type.dtype), name)
    file.operator("PADV2", [x, pads, fill], y, "PadV2Options")


ROWS: dict[str, Row] = {
    "average_pool2d": average_pool2d,
    "conv2d": conv2d,
    "max_pool2d": max_pool2d,
}
