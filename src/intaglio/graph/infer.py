"""Infer types and shapes by ONNX's own inference, one node at a time."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.graph.access import where
from intaglio.graph.operators import facts
from intaglio.graph.time_loops import infer_loop, is_loop

# Constants up to this size are shown to the inference: sizes, axes, pads, repeats.
_SHAPE_CONSTANT_BYTES = 4096
# The opsets whose inference is right for what older ones write. With ceil_mode, older ones count a last window that
# starts outside the image, which no runtime does; negative axes came with opset 11, were written before, and are
# inferred wrong there. GreaterOrEqual and LessOrEqual were functions at first, whose shapes are left open.
_CEIL_MODE, _MENDED_POOLS = 10, 22
_NEGATIVE_AXES = 11
_FIRST_COMPARISONS, _SHAPED_COMPARISONS = 12, 16
_FORMER_FUNCTIONS = {"GreaterOrEqual", "LessOrEqual"}
_POOLS = {"AveragePool", "LpPool", "MaxPool"}
_ALONG_AXES = {
    "ArgMax", "ArgMin", "Concat", "Flatten", "Gather", "Hardmax", "LogSoftmax", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Softmax",
    "Split", "Squeeze", "Unsqueeze",
}  # fmt: skip


def infer_node(node: ir.Node, opset_imports: dict[str, int]) -> None:
    """Set type and shape of a node's outputs from those of its inputs.

    Args:
        node: its inputs have types and shapes; constants are known.
        opset_imports: version by domain.
    Raises:
        UnsupportedOperatorError: ONNX has no such operator in this opset.
        ModelError: the inputs do not fit the operator.
    """
    if is_loop(node):
        infer_loop(node)
        return
    try:
        schema = onnx.defs.get_schema(node.op_type, _inferred_as(node, opset_imports), node.domain)
    except Exception as error:
        raise UnsupportedOperatorError(
            f"{where(node)} expected an operator of ONNX opset {opset_imports.get('')}, got {node.op_type!r} of domain "
            f"'{node.domain or 'ai.onnx'}', which ONNX does not define there; export the model with standard operators"
        ) from error
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for value in node.inputs:
        if value is None or not value.name:
            continue
        _refuse_empty(value)
        if value.type is None:
            raise ModelError(f"{where(node)} expected its input '{value.name}' to have a type, got none")
        types[value.name] = _type_proto(value)
        if value.const_value is not None and value.const_value.nbytes <= _SHAPE_CONSTANT_BYTES:
            data[value.name] = ir.serde.serialize_tensor(value.const_value)
    imports = [onnx.helper.make_opsetid(domain, number) for domain, number in opset_imports.items()]
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema, ir.serde.serialize_node(node), types, data, opset_imports=imports
        )
    except Exception as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{where(node)} expected inputs that fit the operator, got: {text}") from error
    for output in node.outputs:
        proto = found.get(str(output.name))
        if proto is None:
            continue
        output.type = ir.serde.deserialize_type_proto_for_type(proto)
        output.shape = ir.serde.deserialize_type_proto_for_shape(proto)
    if facts(node.op_type).normalizes and not node.domain and node.outputs[0].shape is None:
        source = node.inputs[0]  # ONNX defines some of them by a function, whose shapes its inference leaves open
        assert source is not None
        node.outputs[0].type, node.outputs[0].shape = source.type, source.shape


def _inferred_as(node: ir.Node, opset_imports: dict[str, int]) -> int:
    """Choose the opset by which a node is inferred."""
    version = opset_imports.get(node.domain) or 1
    if node.op_type in _POOLS and not node.domain and version >= _CEIL_MODE:
        return max(version, _MENDED_POOLS)
    if node.op_type in _ALONG_AXES and not node.domain:
        return max(version, _NEGATIVE_AXES)
    if node.op_type in _FORMER_FUNCTIONS and not node.domain and version >= _FIRST_COMPARISONS:
        return max(version, _SHAPED_COMPARISONS)
    return version


def _type_proto(value: ir.Value) -> onnx.TypeProto:
    assert value.type is not None
    proto = ir.serde.serialize_type(value.type)
    if value.shape is not None:
        ir.serde.serialize_shape_into(proto, value.shape)
    return proto


def refuse_empty(node: ir.Node) -> None:
    """Refuse a result without elements.

    Raises:
        ModelError: naming the node; a window is larger than what it slides over.
    """
    for output in node.outputs:
        if output.name:
            _refuse_empty(output)


def _refuse_empty(value: ir.Value) -> None:
    if value.const_value is not None or value.shape is None:
        return
    if any(isinstance(size, int) and size < 1 for size in value.shape):
        producer = value.producer()
        raise ModelError(
            f"{where(producer) if producer is not None else 'input'} expected elements in '{value.name}', got the "
            f"shape {tuple(value.shape)}; give the network a larger input"
        )
