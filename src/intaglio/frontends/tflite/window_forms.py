"""Convolutions and pools: SAME and VALID padding, channels-last weights, fused activations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.tflite.contents import TfliteOperator, TfliteTensor
from intaglio.frontends.tflite.fused_activation import activate
from intaglio.frontends.tflite.schema import names_of
from intaglio.frontends.tflite.tensor_params import TfliteParams
from intaglio.frontends.tflite.tflite_builder import AttributeValue, TfliteBuilder

_OHWI, _1HWO = (0, 3, 1, 2), (3, 0, 1, 2)


def conv_2d(b: TfliteBuilder, op: TfliteOperator) -> None:
    """CONV_2D: weight (O, H, W, I); groups follow from its channels."""
    x, weight = _image(op, 0), _image(op, 1)
    inner = weight.shape[3]
    if not inner or x.shape[3] % inner:
        raise ModelError(f"{op.where} expected channels that the weight divides, got {x.shape} and {weight.shape}")
    kernel = weight.shape[1:3]
    attributes = _window(op, x.shape, kernel, "Dilation") | {"group": x.shape[3] // inner}
    given = [b.first(x), weight_of(b, op, weight, _OHWI), *bias_of(b, op, x, weight)]
    activate(b, op, b.node("Conv", given, attributes), first=True)


def depthwise_conv_2d(b: TfliteBuilder, op: TfliteOperator) -> None:
    """DEPTHWISE_CONV_2D: weight (1, H, W, C * multiplier)."""
    x, weight = _image(op, 0), _image(op, 1)
    attributes = _window(op, x.shape, weight.shape[1:3], "Dilation") | {"group": x.shape[3]}
    given = [b.first(x), weight_of(b, op, weight, _1HWO), *bias_of(b, op, x, weight)]
    activate(b, op, b.node("Conv", given, attributes), first=True)


def transpose_conv(b: TfliteBuilder, op: TfliteOperator) -> None:
    """TRANSPOSE_CONV: output shape, weight (O, H, W, I), input, bias; its padding is that of the convolution back."""
    weight, x, y = _image(op, 1), _image(op, 2), op.outputs[0]
    strides = [int(op.options.get(f"Stride{side}", 1)) for side in "HW"]
    begins, ends, more = [], [], []
    same = _padding(op) == "SAME"
    for size, out, kernel, stride in zip(x.shape[1:3], y.shape[1:3], weight.shape[1:3], strides, strict=True):
        total = (size - 1) * stride + kernel - out
        begins.append(max(0, total) // 2 if same else 0)
        ends.append(max(0, total - begins[-1]))
        more.append(max(0, begins[-1] - total) if total < begins[-1] else 0)
    attributes: dict[str, AttributeValue] = {
        "kernel_shape": weight.shape[1:3], "strides": strides, "pads": [*begins, *ends], "output_padding": more,
    }  # fmt: skip
    bias = bias_of(b, op, x, weight, index=3)
    given = [b.first(x), weight_of(b, op, weight, _1HWO), *bias]
    activate(b, op, b.node("ConvTranspose", given, attributes), first=True)


def average_pool_2d(b: TfliteBuilder, op: TfliteOperator) -> None:
    """AVERAGE_POOL_2D: padding is not counted."""
    _pool(b, op, "AveragePool")


def max_pool_2d(b: TfliteBuilder, op: TfliteOperator) -> None:
    """MAX_POOL_2D."""
    _pool(b, op, "MaxPool")


def _pool(b: TfliteBuilder, op: TfliteOperator, op_type: str) -> None:
    x = _image(op, 0)
    kernel = (int(op.options.get("FilterHeight")), int(op.options.get("FilterWidth")))
    if min(kernel) < 1:
        raise ModelError(f"{op.where} expected a window of at least 1, got {kernel}")
    activate(b, op, b.node(op_type, [b.first(x)], _window(op, x.shape, kernel)), first=True)


def weight_of(b: TfliteBuilder, op: TfliteOperator, weight: TfliteTensor, perm: tuple[int, ...]) -> ir.Value:
    """Return a weight in ONNX's order; the weight may be computed where the operator is float."""
    if weight.data is not None:
        return b.constant_of(weight, perm)
    if not b.is_real(weight):
        raise ModelError(f"{op.where} expected a constant weight, got '{weight.name}', which is computed; quantize it")
    return b.node("Transpose", [b.value(weight)], {"perm": perm})


def bias_of(
    b: TfliteBuilder, op: TfliteOperator, x: TfliteTensor, weight: TfliteTensor, index: int = 2
) -> list[ir.Value]:
    """Return the bias, if there is one; that of codes is on the accumulator's grid, which kernels assume too."""
    bias = op.optional(index)
    if bias is None:
        return []
    if bias.data is None or bias.kind not in ("INT32", "INT64"):
        return [b.value(bias)]
    if x.params is None or weight.params is None:
        raise ModelError(
            f"{op.where} expected codes as input and weight beside a bias of {bias.kind}, got real numbers"
        )
    codes = bias.data.reshape(-1)
    if codes.size and np.abs(codes.astype(np.int64)).max() > 2**31 - 1:
        raise ModelError(f"{op.where} expected a bias of 32 bits, got {np.abs(codes).max()}; a smaller bias is needed")
    scale = (x.params.scale[0] * weight.params.scale).astype(np.float32)
    if scale.size not in (1, codes.size):
        raise ModelError(
            f"{op.where} expected one weight scale or one for each of {codes.size} output channels, got {scale.size} "
            f"along axis {weight.params.axis}; quantize the weight per output channel or per tensor"
        )
    params = TfliteParams(scale, np.zeros(scale.shape, np.int64), 0 if scale.size > 1 else None)
    return [b.dequantized(codes.astype(np.int32), params, bias.name)]


def _image(op: TfliteOperator, index: int) -> TfliteTensor:
    found = op.input(index)
    if len(found.shape) != 4:
        raise ModelError(f"{op.where} expected four axes of input {index}, got {found.shape}")
    return found


def _padding(op: TfliteOperator) -> str:
    return names_of("Padding").get(op.options.get("Padding"), "")


def _window(
    op: TfliteOperator, size: tuple[int, ...], kernel: tuple[int, ...], dilation: str = ""
) -> dict[str, AttributeValue]:
    """Return ONNX's attributes of a window over a channels-last image; SAME is written out, as sizes are known."""
    strides = [int(op.options.get(f"Stride{side}", 1)) for side in "HW"]
    dilations = [int(op.options.get(f"{dilation}{side}Factor", 1)) if dilation else 1 for side in "HW"]
    if min(*strides, *dilations) < 1:
        raise ModelError(f"{op.where} expected strides and dilations of at least 1, got {strides} and {dilations}")
    begins, ends = [0, 0], [0, 0]
    if _padding(op) == "SAME":
        for i in range(2):
            reach = (kernel[i] - 1) * dilations[i] + 1
            total = max(0, (-(-size[1 + i] // strides[i]) - 1) * strides[i] + reach - size[1 + i])
            begins[i], ends[i] = total // 2, total - total // 2
    found: dict[str, AttributeValue] = {"kernel_shape": kernel, "strides": strides, "pads": [*begins, *ends]}
    return found | {"dilations": dilations} if dilation else found


FORMS = {
    "AVERAGE_POOL_2D": average_pool_2d,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "MAX_POOL_2D": max_pool_2d,
    "TRANSPOSE_CONV": transpose_conv,
}
