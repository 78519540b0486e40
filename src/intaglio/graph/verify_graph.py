"""Check that a model is in normal form."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import where
from intaglio.graph.operand_shapes import verify_operand_shapes

_FORBIDDEN = {"Constant", "Dropout", "If", "Loop", "Scan", "SequenceMap"}

TWO_BITS, TWO_BITS_OPSET = (ir.DataType.INT2, ir.DataType.UINT2), 25
"""Types that quantized files of that opset and later may have."""


def verify(model: ir.Model, opset: int) -> None:
    """Check that a model is a Graph in normal form.

    Raises:
        ModelError: naming the first node or value at fault.
    """
    graph = model.graph
    if model.functions:
        raise ModelError(f"graph '{graph.name}': expected no functions, got {len(model.functions)}; inline them")
    if model.opset_imports.get("") != opset:
        raise ModelError(f"graph '{graph.name}': expected opset {opset}, got {model.opset_imports.get('')}")
    if not graph.outputs:
        raise ModelError(f"graph '{graph.name}': expected at least one output, got none")
    verify_structure(graph)
    for node in graph:
        verify_operand_shapes(node)
    _verify_inference(model)


def verify_structure(graph: ir.Graph, *, folded: bool = True) -> None:
    """The part of `verify` that looks at each node and value by itself; cheap enough to be done after each pass.

    Args:
        graph: of the model.
        folded: no node may compute on constants only.
    Raises:
        ModelError: naming the first node or value at fault.
    """
    _verify_names(graph)
    known: set[ir.Value] = {*graph.inputs, *graph.initializers.values()}
    for node in graph:
        _verify_node(node, known, folded)
        known.update(node.outputs)
    for value in graph.outputs:
        if value not in known:
            raise ModelError(f"output '{value.name}': expected a node that computes it, got none")
        if value.is_initializer():
            raise ModelError(f"output '{value.name}': expected a computed value, got a constant")
    for value in known:
        _verify_value(value)


def _verify_names(graph: ir.Graph) -> None:
    nodes: set[str] = set()
    values: set[str] = set()
    for value in (*graph.inputs, *graph.initializers.values()):
        _add_name(values, value.name, "value")
    for node in graph:
        _add_name(nodes, node.name, "node")
        for output in node.outputs:
            if output.name != "":
                _add_name(values, output.name, "value")


def _add_name(names: set[str], name: str | None, kind: str) -> None:
    if not name:
        raise ModelError(f"expected every {kind} to have a name, got one without")
    if name in names:
        raise ModelError(f"{kind} '{name}': expected a unique name, got two of it")
    names.add(name)


def _verify_node(node: ir.Node, known: set[ir.Value], folded: bool) -> None:
    if node.op_type in _FORBIDDEN and not node.domain:
        raise ModelError(f"{where(node)} expected no {node.op_type} in a graph in normal form")
    given = [value for value in node.inputs if value is not None]
    for value in given:
        if value not in known:
            raise ModelError(f"{where(node)} expected its input '{value.name}' to be computed before it")
    if folded and given and all(value.is_initializer() for value in given) and node.op_type != "DequantizeLinear":
        raise ModelError(f"{where(node)} expected at least one computed input, got constants only")


def _verify_value(value: ir.Value) -> None:
    if value.name == "":
        return  # an optional output that is left out
    if value.dtype is None or value.shape is None or not value.shape.is_static():
        raise ModelError(f"value '{value.name}': expected a type and a static shape, got {value.dtype} {value.shape}")
    if value.is_initializer():
        if len(value.uses()) != 1:
            raise ModelError(f"constant '{value.name}': expected one consumer, got {len(value.uses())}")
        tensor = value.const_value
        if tensor is None or tuple(tensor.shape.numpy()) != tuple(value.shape.numpy()) or tensor.dtype != value.dtype:
            raise ModelError(f"constant '{value.name}': its array does not fit its type {value.dtype} {value.shape}")


def _verify_inference(model: ir.Model) -> None:
    """Require that ONNX's checker and shape inference accept the graph and find the shapes that it states."""
    checked = model.clone()
    if any(value.dtype in TWO_BITS for value in checked.graph.initializers.values()):  # of a file still to be stripped
        checked.graph.opset_imports[""], checked.ir_version = TWO_BITS_OPSET, 13
    for value in list(checked.graph.initializers.values()):
        assert value.const_value is not None
        if value.const_value.nbytes > 4096 and len(checked.graph.inputs) < 10**6:
            # Large weights do not decide shapes: they stand as inputs, so that no copy of them is made.
            checked.graph.initializers.pop(str(value.name))
            value.const_value = None
            checked.graph.inputs.append(value)
    try:
        proto = ir.to_proto(checked)
        onnx.checker.check_model(proto)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:
        text = " ".join(str(error).split())
        raise ModelError(f"graph '{model.graph.name}': expected valid ONNX, got: {text}") from error
