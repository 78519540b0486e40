"""Look up constants, shapes, attributes and consumers in a Graph."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from intaglio.errors import ModelError

Array = npt.NDArray[Any]


def constant(value: ir.Value | None) -> Array | None:
    """Get the array of a constant value; None where the value is computed, an input or absent.

    The array is shared with the Graph: copy it before changing it.
    """
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def shape(value: ir.Value | None) -> tuple[int, ...]:
    """Get the static shape of a value.

    Raises:
        ModelError: the shape is unknown or not static, which a Graph in normal form never has.
    """
    if value is None:
        raise ModelError("shape of an absent optional input: expected a value, got none")
    sizes = value.shape.dims if value.shape is not None else (None,)
    static = tuple(size for size in sizes if isinstance(size, int))
    if len(static) != len(sizes):
        raise ModelError(f"value '{value.name}': expected a static shape, got {value.shape}")
    return static


def rank(value: ir.Value | None) -> int:
    """Count the axes of a value."""
    return len(shape(value))


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """Get an attribute as a Python value: int, float, str, tuple of these, or an array for a tensor.

    Args:
        node: the node that carries it.
        name: the attribute's ONNX name.
        default: returned where the node does not carry the attribute.
    """
    found = node.attributes.get(name)
    if found is None or found.value is None:
        return default
    if found.type == ir.AttributeType.TENSOR:
        return found.as_tensor().numpy()
    value = found.value
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return value


def one_number(node: ir.Node, array: Array, what: str) -> Any:
    """Get the element of an array that has one.

    Args:
        node: the node that reads it.
        array: of any rank.
        what: what it is, such as "condition".
    Raises:
        ModelError: it has none or several.
    """
    if array.size != 1:
        raise ModelError(f"{where(node)} expected one number as {what}, got {array.size} (shape {array.shape})")
    return array.item()


def input_value(node: ir.Node, index: int) -> ir.Value | None:
    """Get the value at an input position; None where it is left out (also after the last one given)."""
    return node.inputs[index] if index < len(node.inputs) else None


def is_output(value: ir.Value) -> bool:
    """Tell whether the value is an output of the whole graph."""
    return value.is_graph_output()


def consumers(value: ir.Value) -> list[ir.Node]:
    """List the nodes that read the value, each once, in the order in which they were connected."""
    return list(dict.fromkeys(use.node for use in value.uses()))


def single_consumer(value: ir.Value) -> ir.Node | None:
    """Find the only node that reads the value, at one input; None if there are more uses or it is a graph output."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node


def where(node: ir.Node) -> str:
    """Name a node as errors and histories do: [Conv 'features.3']."""
    domain = f"{node.domain}." if node.domain else ""
    return f"[{domain}{node.op_type} '{node.name}']"
