"""Rewrite operators on quantized tensors (QOperator form) as DequantizeLinear -> float operator -> QuantizeLinear.

`TABLE` has one row per operator: which inputs are operands. A scale and a zero point follow each operand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.opset_upgrade import FORMS
from intaglio.frontends.quantized.names import plain_name
from intaglio.graph import NORMAL_OPSET, Graph, attribute, constant, shape
from intaglio.graph.access import input_value, rank, where
from intaglio.graph.edit import AttributeValue, add_constant, insert, remove, replace


@dataclass(frozen=True)
class QOperatorRow:
    """The input layout of a QOperator.

    Args:
        op_type: the float operator.
        operands: index of each operand; scale and zero point follow it.
        result: index of the result's scale; its zero point follows it.
        bias: index of an int32 bias on the grid of the first two operands.
        attributes: names of the attributes that the float operator keeps.
    """

    op_type: str
    operands: tuple[int, ...]
    result: int
    bias: int | None = None
    attributes: tuple[str, ...] = ()


_WINDOW = ("auto_pad", "ceil_mode", "count_include_pad", "dilations", "group", "kernel_shape", "pads", "strides")

TABLE: Mapping[str, QOperatorRow] = {
    "QGemm": QOperatorRow("Gemm", (0, 3), 7, 6, ("alpha", "transA", "transB")),
    "QLinearAdd": QOperatorRow("Add", (0, 3), 6),
    "QLinearAveragePool": QOperatorRow("AveragePool", (0,), 3, None, _WINDOW),
    "QLinearConcat": QOperatorRow("Concat", (), 0, None, ("axis",)),  # its operands are all inputs from the third on
    "QLinearConv": QOperatorRow("Conv", (0, 3), 6, 8, _WINDOW),
    "QLinearGlobalAveragePool": QOperatorRow("GlobalAveragePool", (0,), 3),
    "QLinearLeakyRelu": QOperatorRow("LeakyRelu", (0,), 3, None, ("alpha",)),
    "QLinearMatMul": QOperatorRow("MatMul", (0, 3), 6),
    "QLinearMul": QOperatorRow("Mul", (0, 3), 6),
    "QLinearSigmoid": QOperatorRow("Sigmoid", (0,), 3),
    "QLinearSoftmax": QOperatorRow("Softmax", (0,), 3, None, ("axis",)),
}


def expand_qoperators(graph: Graph) -> list[str]:
    """Rewrite every operator of the table.

    Raises:
        ModelError: a form that cannot be written as a float operator.
    """
    changes = []
    for node in graph.nodes:
        row = TABLE.get(node.op_type)
        if row is not None:
            before = where(node)
            _expand(graph.model.graph, node, row)
            changes.append(f"{before} rewritten as {row.op_type} between DequantizeLinear and QuantizeLinear")
    graph.model.graph.opset_imports.pop("com.microsoft", None)
    return changes


def _expand(graph: ir.Graph, node: ir.Node, row: QOperatorRow) -> None:
    _refuse_other_forms(node)
    positions = row.operands or tuple(range(2, len(node.inputs), 3))
    operands: list[ir.Value | None] = [_real(graph, node, index, row) for index in positions]
    if row.bias is not None and input_value(node, row.bias) is not None:
        operands.append(_real_bias(graph, node, row))
    attributes: dict[str, AttributeValue] = {
        name: attribute(node, name) for name in row.attributes if name in node.attributes
    }
    result, name = node.outputs[0], str(node.name)
    real = insert(graph, node, row.op_type, operands, attributes, name=plain_name(str(result.name)))
    form = FORMS.get(row.op_type)
    if form is not None:
        form(graph, real, NORMAL_OPSET)
    last = real
    if input_value(node, row.result) is not None:
        parameters = [input_value(node, row.result), input_value(node, row.result + 1)]
        last = insert(graph, node, "QuantizeLinear", [real.outputs[0], *parameters], name=f"{name}.codes")
    replace(result, last.outputs[0])
    remove(graph, node)
    real.name = name


def _real(graph: ir.Graph, node: ir.Node, index: int, row: QOperatorRow) -> ir.Value:
    """Insert a DequantizeLinear for an operand; return its result."""
    value, scale = node.inputs[index], node.inputs[index + 1]
    assert value is not None
    per_tensor = scale is None or np.prod(shape(scale)) == 1
    attributes = {} if per_tensor else {"axis": _channel_axis(node, row.op_type, value)}
    inputs = [value, scale, node.inputs[index + 2]]
    return insert(graph, node, "DequantizeLinear", inputs, attributes, name=f"{node.name}.operand{index}").outputs[0]


def _channel_axis(node: ir.Node, op_type: str, value: ir.Value) -> int:
    """Return the axis of a weight's per-channel scales."""
    if op_type == "Conv":
        return 0
    if op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return rank(value) - 1


def _real_bias(graph: ir.Graph, node: ir.Node, row: QOperatorRow) -> ir.Value:
    """Insert a DequantizeLinear with the accumulator's scale for the int32 bias; return its result."""
    assert row.bias is not None
    scales = [constant(node.inputs[index + 1]) for index in row.operands]
    bias = node.inputs[row.bias]
    if any(scale is None for scale in scales) or constant(bias) is None:
        raise ModelError(f"{where(node)} expected constant scales and bias, got computed ones; use static quantization")
    x, w = (np.asarray(scale, np.float32).reshape(-1) for scale in scales)
    scale = (np.float32(attribute(node, "alpha", 1.0)) * x * w).astype(np.float32)
    per_tensor = scale.size == 1
    content = add_constant(graph, f"{bias.name}_scale", scale.reshape(()) if per_tensor else scale)  # type: ignore[union-attr]
    attributes = {} if per_tensor else {"axis": rank(bias) - 1}
    return insert(graph, node, "DequantizeLinear", [bias, content], attributes, name=f"{node.name}.bias").outputs[0]


def _refuse_other_forms(node: ir.Node) -> None:
    if attribute(node, "channels_last", 0):
        raise ModelError(
            f"{where(node)} expected channels first, got channels_last=1; use the file from before ONNX "
            "Runtime's optimization"
        )
    if node.op_type == "QLinearSoftmax" and int(attribute(node, "opset", 13)) < 13:
        sizes, axis = shape(node.inputs[0]), int(attribute(node, "axis", 1))
        if any(size != 1 for size in sizes[axis % len(sizes) + 1 :]):
            raise ModelError(
                f"{where(node)} expected a softmax over one axis, got all axes from {axis} on (opset below 13)"
            )
