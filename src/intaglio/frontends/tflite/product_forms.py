"""Products of matrices."""

from __future__ import annotations

import math

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.tflite.contents import TfliteOperator
from intaglio.frontends.tflite.fused_activation import activated
from intaglio.frontends.tflite.schema import names_of
from intaglio.frontends.tflite.tflite_builder import TfliteBuilder
from intaglio.frontends.tflite.window_forms import bias_of


def fully_connected(b: TfliteBuilder, op: TfliteOperator) -> None:
    """FULLY_CONNECTED: weight (O, K); the input is read as rows of K."""
    x, weight, y = op.input(0), op.input(1), op.outputs[0]
    layout = names_of("FullyConnectedOptionsWeightsFormat").get(op.options.get("WeightsFormat", 0), "")
    if layout != "DEFAULT" or len(weight.shape) != 2:
        raise UnsupportedOperatorError(
            f"{op.where} expected a weight of two axes in the default order, got {weight.shape}, {layout or 'unknown'}"
        )
    k = weight.shape[1]
    if not k or math.prod(x.shape) % k:
        raise ModelError(f"{op.where} expected an input in rows of {k}, got {x.shape}")
    rows = b.value(x)
    if x.shape != (math.prod(x.shape) // k, k):
        rows = b.node("Reshape", [rows, b.ints(f"{y.name}.rows", (-1, k))])
    bias = bias_of(b, op, x, weight)
    if weight.data is not None:
        value = b.node("Gemm", [rows, b.constant_of(weight), *bias], {"transB": 1})
    else:
        value = b.node("MatMul", [rows, b.node("Transpose", [b.value(weight)], {"perm": (1, 0)})])
        value = b.node("Add", [value, *bias]) if bias else value
    value = activated(b, op, value)  # before the Reshape, so that it stays with the product
    if len(y.shape) != 2:
        value = b.node("Reshape", [value, b.ints(f"{y.name}.shape", (-1, *y.shape[1:]))])
    b.define(y, value)


def batch_matmul(b: TfliteBuilder, op: TfliteOperator) -> None:
    """BATCH_MATMUL; either operand may be transposed."""
    operands = []
    for index, flag in ((0, "AdjX"), (1, "AdjY")):
        operand = op.input(index)
        value = b.value(operand)
        if op.options.get(flag, False):
            rank = len(operand.shape)
            value = b.node("Transpose", [value], {"perm": (*range(rank - 2), rank - 1, rank - 2)})
        operands.append(value)
    b.define(op.outputs[0], b.node("MatMul", operands))


FORMS = {"BATCH_MATMUL": batch_matmul, "FULLY_CONNECTED": fully_connected}
