"""Recognize the operators of other tools' quantized files; infer the shapes of those outside ONNX."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from intaglio.errors import AlreadyQuantizedError, ModelError, UnsupportedOperatorError
from intaglio.frontends.contrib_operators import infer_contrib, is_contrib
from intaglio.frontends.quantized.qonnx import is_qonnx
from intaglio.graph.access import attribute, input_value, where
from intaglio.graph.infer import infer_node

_AT_RUN_TIME = {"ConvInteger", "MatMulInteger"}
_WEIGHTS_ONLY = {"MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized", "QMoE"}
_STANDARD = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
}

# ONNX Runtime's operators: the float operator with the same result shape, and which inputs are its operands.
_MICROSOFT: dict[str, tuple[str, tuple[int, ...]]] = {
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
    "QLinearConcat": ("Concat", ()),
    "QGemm": ("Gemm", (0, 3)),
}
_PAIR = ("QuantizeLinear", "DequantizeLinear")
_SHARED_ATTRIBUTES = {
    "axis",
    "kernel_shape",
    "strides",
    "pads",
    "ceil_mode",
    "count_include_pad",
    "auto_pad",
    "transA",
    "transB",
}

_ANEW = (
    "give the float network that it was made from: intaglio.quantize(model, data) or `intaglio quantize` quantizes it"
)


def check_foreign(nodes: Iterable[ir.Node], keep_quantized: bool) -> None:
    """Refuse quantized operators that cannot be read; the error says what to do instead.

    Args:
        nodes: the model's nodes.
        keep_quantized: whether to accept quantizers with constant parameters.
    Raises:
        ModelError: parameters computed at run time, or integer weights with float activations.
        AlreadyQuantizedError: the model has quantizers and `keep_quantized` is False.
        UnsupportedOperatorError: an operator of ONNX Runtime's domain that Intaglio does not read.
    """
    quantized = [node for node in nodes if is_quantized(node)]
    for node in quantized:
        if node.op_type.startswith("Dynamic") or node.op_type.removesuffix("ToFloat") in _AT_RUN_TIME:
            raise ModelError(
                f"{where(node)} expected parameters that are known beforehand, got dynamic quantization, which finds "
                f"them at run time from each input; {_ANEW}"
            )
        if node.op_type in _WEIGHTS_ONLY:
            raise ModelError(
                f"{where(node)} expected weights and activations in integers, got an operator with weights in integers "
                f"and float activations; {_ANEW}"
            )
    if quantized and not keep_quantized:
        raise AlreadyQuantizedError(
            f"{where(quantized[0])} expected a float network, got one that is already quantized; "
            "intaglio.load_quantized(path).lower() makes a program of it, and `intaglio quantize`, `compile`, `run`, "
            f"`bench`, `inspect`, `evaluate` and `compare` take the file as it is; to quantize it again, {_ANEW}"
        )
    for node in quantized:
        if node.domain and not is_known_foreign(node):
            raise UnsupportedOperatorError(
                f"{where(node)} expected a quantized operator that Intaglio reads, got one that only ONNX Runtime has; "
                "quantize the model in QDQ form (quant_format=QuantFormat.QDQ), which intaglio.load_quantized reads"
            )


def is_quantized(node: ir.Node) -> bool:
    """Whether a node computes with integers or converts between integers and float."""
    if node.domain == "com.microsoft":
        known = is_known_foreign(node) or node.op_type.startswith(("QLinear", "Dynamic", "MatMulInteger"))
        return known or node.op_type in _WEIGHTS_ONLY
    return node.op_type in _STANDARD or is_qonnx(node)


def is_known_foreign(node: ir.Node) -> bool:
    """Whether a node of ONNX Runtime's domain is one that `load_quantized` reads."""
    return node.domain == "com.microsoft" and (node.op_type in _MICROSOFT or node.op_type in _PAIR)


def standardize_pairs(model: ir.Model) -> None:
    """Move ONNX Runtime's own QuantizeLinear and DequantizeLinear to ONNX's domain.

    They are the same operators, but have 4 and 16 bits in every opset.
    """
    for node in model.graph:
        if node.op_type in _PAIR and node.domain == "com.microsoft":
            node.domain = ""


def infer_foreign(node: ir.Node, opset_imports: dict[str, int]) -> bool:
    """Set the result type and shape of an operator that ONNX lacks, or has in newer opsets only.

    An operator of ONNX Runtime has the result shape of its float operator. QuantizeLinear and DequantizeLinear may have
    types that ONNX added after the model's opset, so ONNX's own inference is not used for them.

    Returns:
        False for any other node.
    """
    if node.op_type in _PAIR and node.domain in ("", "com.microsoft"):
        _infer_pair(node)
        return True
    if is_contrib(node):
        infer_contrib(node, opset_imports)
        return True
    if not is_known_foreign(node):
        return False
    op_type, positions = _MICROSOFT[node.op_type]
    if node.op_type == "QLinearConcat":
        positions = tuple(range(2, len(node.inputs), 3))
    inputs = [node.inputs[index] if index < len(node.inputs) else None for index in positions]
    if node.op_type == "QLinearAveragePool" and attribute(node, "channels_last", 0):
        raise ModelError(f"{where(node)} expected channels first, got channels_last; export the model again")
    stand_ins = [_as_float(value) for value in inputs]
    attributes = [a for name, a in node.attributes.items() if name in _SHARED_ATTRIBUTES]
    twin = ir.Node("", op_type, stand_ins, attributes, name=node.name, num_outputs=1)
    twin.outputs[0].name = node.outputs[0].name
    infer_node(twin, opset_imports)
    output = node.outputs[0]
    output.shape = twin.outputs[0].shape
    output.type = _integer_type(node)
    twin.resize_inputs(0)
    return True


def _infer_pair(node: ir.Node) -> None:
    """Set the input's shape; the type is the zero point's for codes and the scale's for real numbers."""
    value, scale, zero_point = (input_value(node, index) for index in range(3))
    if value is None or scale is None:
        raise ModelError(f"{where(node)} expected inputs x and scale, got {len(node.inputs)} inputs")
    stated = attribute(node, "output_dtype", 0)
    output = node.outputs[0]
    output.shape = value.shape
    if stated:
        output.type = ir.TensorType(ir.DataType(stated))
    elif node.op_type == "DequantizeLinear":
        output.type = scale.type
    else:
        output.type = ir.TensorType(ir.DataType.UINT8) if zero_point is None else zero_point.type


def _as_float(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return ir.Value(name=value.name, shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))


def _integer_type(node: ir.Node) -> ir.TypeProtocol:
    """Return the output's integer type, which is that of its zero point (mostly the last input)."""
    if node.op_type == "QLinearConcat":
        zero_point = node.inputs[1]
    elif node.op_type == "QGemm":
        zero_point = node.inputs[8] if len(node.inputs) > 8 else None
        if zero_point is None:
            return ir.TensorType(ir.DataType.FLOAT)
    else:
        zero_point = node.inputs[-1] if len(node.inputs) in (5, 8) else None
    if zero_point is None or zero_point.dtype is None:
        first = node.inputs[2 if node.op_type == "QLinearConcat" else 0]
        assert first is not None
        assert first.dtype is not None
        return ir.TensorType(first.dtype)
    return ir.TensorType(zero_point.dtype)
