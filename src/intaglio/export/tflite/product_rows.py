"""Dense layers, products of two computed matrices, transposed convolutions."""

from __future__ import annotations

import numpy as np

from intaglio.errors import ExportError
from intaglio.export.tflite.fused_clamps import Clamped
from intaglio.export.tflite.kernel_factors import same_factor, weight_scale
from intaglio.export.tflite.rows import Row, params_of
from intaglio.export.tflite.tflite_file import TfliteFile
from intaglio.export.tflite.window_rows import tflite_padding
from intaglio.number import INT8
from intaglio.program import Node
from intaglio.program.factors import tflite_matmul_factor
from intaglio.program.operators.conv_transpose2d import ConvTranspose2d
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.matmul import MatMul
from intaglio.program.windows import Window


def dense(file: TfliteFile, node: Node) -> None:
    """FULLY_CONNECTED."""
    operator = node.operator
    assert isinstance(operator, Dense)
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    rank = len(file.program.tensors[node.output].shape)
    if x.type != INT8 or y.type != INT8:
        raise ExportError(f"expected int8 as input and output, got {x.type} and {y.type}")
    if rank < 2:
        raise ExportError("expected an input of two axes or more, got one; give the network a batch axis")
    scale = weight_scale(operator, x, y)
    out = Clamped(file, node.output, operator.low, operator.high)
    inputs = [
        file.tensor(node.inputs[0]),
        file.weight(f"{node.name}.weight", operator.weight, scale, 0),
        file.bias(f"{node.name}.bias", operator.bias, np.float32(x.scale) * scale),
    ]
    options = {"FusedActivationFunction": out.activation, "KeepNumDims": rank > 2}
    version = 4 if rank == 2 else 5
    file.operator("FULLY_CONNECTED", inputs, out.output, "FullyConnectedOptions", version, **options)
    out.finish()


def matmul(file: TfliteFile, node: Node) -> None:
    """BATCH_MATMUL."""
    operator = node.operator
    assert isinstance(operator, MatMul)
    a, b = (params_of(file, name) for name in node.inputs)
    y = params_of(file, node.output)
    if {a.type, b.type, y.type} != {INT8}:
        raise ExportError(f"expected int8 as inputs and output, got {a.type}, {b.type} and {y.type}")
    if not same_factor(operator.requantize, tflite_matmul_factor(a, b, y)):
        raise ExportError("expected a factor that is s_a * s_b / s_y, got one that holds more than scales")
    out = Clamped(file, node.output, operator.low, operator.high, fuses=False)
    inputs = [file.tensor(name) for name in node.inputs]
    file.operator("BATCH_MATMUL", inputs, out.output, "BatchMatMulOptions", 2)
    out.finish()


def conv_transpose2d(file: TfliteFile, node: Node) -> None:
    """TRANSPOSE_CONV."""
    operator = node.operator
    assert isinstance(operator, ConvTranspose2d)
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    size = file.program.tensors[node.output].shape
    if x.type != INT8 or y.type != INT8:
        raise ExportError(f"expected int8 as input and output, got {x.type} and {y.type}")
    if operator.groups > 1 or max(operator.dilations) > 1:
        raise ExportError(
            f"expected one group and no dilations, got {operator.groups} groups and dilations {operator.dilations}"
        )
    scale = weight_scale(operator, x, y)
    # Its padding is that of the convolution that leads from the output back to the input.
    back = Window(operator.weight.shape[1:3], operator.strides, (1, 1), (*operator.pads[:2], *_ends(operator)))
    padding = tflite_padding(size, back)
    out, begins = Clamped(file, node.output, operator.low, operator.high), operator.pads[:2]
    written, result = size, out.output
    if padding is None:  # all of the result, of which a part is taken
        reach = [
            (n - 1) * s + k
            for n, s, k in zip(
                file.program.tensors[node.inputs[0]].shape[1:3], operator.strides, back.kernel, strict=True
            )
        ]
        whole = [max(n, begin + wanted) for n, begin, wanted in zip(reach, begins, size[1:3], strict=True)]
        written, padding = (size[0], *whole, size[3]), "VALID"
        result = file.between(node.output, "whole", written)
    inputs = [
        file.ints(f"{node.name}.size", written),
        file.weight(f"{node.name}.weight", operator.weight, scale, 0),
        file.tensor(node.inputs[0]),
        file.bias(f"{node.name}.bias", operator.bias, np.float32(x.scale) * scale),
    ]
    options = {
        "Padding": file.flat.number("Padding", padding),
        "StrideH": operator.strides[0],
        "StrideW": operator.strides[1],
        "FusedActivationFunction": out.activation,
    }
    file.operator("TRANSPOSE_CONV", inputs, result, "TransposeConvOptions", 4, **options)
    if written != size:
        constants = [file.ints(f"{node.name}.{n}", v) for n, v in (("begin", (0, *begins, 0)), ("part", size))]
        file.operator("SLICE", [result, *constants], out.output, "SliceOptions")
    out.finish()


def _ends(operator: ConvTranspose2d) -> tuple[int, int]:
    """Bottom and right padding of the convolution back; output padding is what its windows do not reach."""
    bottom, right = (pad - more for pad, more in zip(operator.pads[2:], operator.output_padding, strict=True))
    return bottom, right


ROWS: dict[str, Row] = {"conv_transpose2d": conv_transpose2d, "dense": dense, "matmul": matmul}
