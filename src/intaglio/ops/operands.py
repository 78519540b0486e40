"""What a node's operands and results are called in ONNX, and which of them it has to have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
import onnx_ir as ir

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph import NORMAL_OPSET
from intaglio.graph.access import Array, attribute, constant, input_value, where
from intaglio.graph.integer_inputs import INTEGER_INPUTS


def operand_name(node: ir.Node, index: int) -> str:
    """ONNX's name of an input position; that of the last one where there may be any number of them."""
    inputs = onnx.defs.get_schema(node.op_type, NORMAL_OPSET, "").inputs
    return str(inputs[min(index, len(inputs) - 1)].name)


def require_constants(node: ir.Node, indices: Iterable[int]) -> None:
    """Refuse operands that are computed where the operator takes constants only.

    Raises:
        UnsupportedOperatorError: naming node and operand.
    """
    for index in indices:
        value = input_value(node, index)
        if value is not None and constant(value) is None:
            raise UnsupportedOperatorError(
                f"{where(node)} expected a constant as its operand '{operand_name(node, index)}', got "
                f"'{value.name}', which is computed at run time; export the model with fixed numbers there"
            )


def require_real(node: ir.Node, integers: Sequence[int]) -> None:
    """Refuse computed integers and booleans where the operator computes with real numbers.

    Args:
        node: the operator.
        integers: positions where it takes them.
    Raises:
        UnsupportedOperatorError: naming node, operand and type.
    """
    for index, value in enumerate(node.inputs):
        if value is not None and constant(value) is None and value.dtype in INTEGER_INPUTS and index not in integers:
            raise UnsupportedOperatorError(
                f"{where(node)} expected real numbers as its operand '{operand_name(node, index)}', got "
                f"'{value.name}' of type {value.dtype}, which is computed at run time; convert it to float before, or "
                "compute it outside the network"
            )


def require_one_result(node: ir.Node) -> None:
    """Refuse readers of statistics, masks and indices, which some operators give beside their result.

    Raises:
        UnsupportedOperatorError: naming node and result.
    """
    for index, value in enumerate(node.outputs):
        if index and value.name and (value.uses() or value.is_graph_output()):
            outputs = onnx.defs.get_schema(node.op_type, NORMAL_OPSET, "").outputs
            name = outputs[min(index, len(outputs) - 1)].name
            raise UnsupportedOperatorError(
                f"{where(node)} expected one output, got a reader of its '{name}', '{value.name}'; compute what is "
                "read there with operators of its own, or export the model for inference"
            )


def constant_operand(node: ir.Node, index: int) -> Array:
    """The array of an operand that has to be there and to be constant.

    Raises:
        UnsupportedOperatorError: it is computed; the text names node and operand.
    """
    require_constants(node, (index,))
    array = constant(input_value(node, index))
    assert array is not None, node.name
    return array


def require_one_of(node: ir.Node, name: str, allowed: Sequence[str | int], default: str | int) -> None:
    """Refuse a value of an attribute that is not among those that are known.

    Raises:
        UnsupportedOperatorError: naming node, attribute and value.
    """
    got = attribute(node, name, default)
    if got not in allowed:
        raise UnsupportedOperatorError(
            f"{where(node)} expected {name} {' or '.join(map(str, allowed))}, got {got}; export the model with one of "
            "these"
        )
