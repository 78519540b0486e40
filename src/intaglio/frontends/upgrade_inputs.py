"""Read and write constant inputs of nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import attribute, constant, input_value, where
from intaglio.graph.edit import add_constant


def ints(graph: ir.Graph, node: ir.Node, role: str, values: Sequence[int]) -> ir.Value:
    """Make a constant int64 vector for one input of a node."""
    return add_constant(graph, f"{node.name}.{role}", np.array(values, dtype=np.int64))


def set_input(node: ir.Node, index: int, value: ir.Value | None) -> None:
    """Connect an input position, adding empty ones before it where needed."""
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def proper_axes(node: ir.Node, axes: Sequence[int], full: int) -> list[int]:
    """List axes of a tensor of rank `full` without negative ones, in their order.

    Raises:
        ModelError: an axis outside [-full, full), or one that is named twice.
    """
    found = [int(axis) % full if -full <= axis < full else -1 for axis in axes]
    if -1 in found or len(set(found)) != len(found):
        raise ModelError(f"{where(node)} expected different axes in [-{full}, {full}), got {list(axes)}")
    return found


def take_ints(node: ir.Node, name: str, index: int, since: int, version: int) -> list[int] | None:
    """Read integers that were an attribute before opset `since` and are a constant input from then on; None if absent.

    Raises:
        ModelError: they are computed at run time.
    """
    if version < since:
        found = attribute(node, name)
        node.attributes.pop(name, None)
        return None if found is None else [int(item) for item in found]
    value = input_value(node, index)
    if value is None:
        return None
    array = constant(value)
    if array is None:
        raise ModelError(
            f"{where(node)} expected constant {name}, got '{value.name}', which is computed at run time; "
            "fix the input sizes with --shape or export the model with static shapes"
        )
    return [int(item) for item in array.ravel()]
