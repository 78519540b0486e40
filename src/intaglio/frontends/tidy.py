"""Take the last steps to the normal form: names, float32, no identities, finite constants."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import attribute, constant
from intaglio.graph.edit import bypass, can_bypass, set_attribute, set_constant
from intaglio.graph.unique_names import unique_name

_FLOATS = {ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
# Where an infinite constant has a meaning: an open bound, padding that a maximum ignores, an attention mask.
# Calibration refuses a sum with infinity that is not a mask.
_INFINITE_ALLOWED = {"Add", "CastLike", "Clip", "Max", "Min", "Pad", "Sub", "Where"}


def to_float32(model: ir.Model) -> None:
    """Bring float16, bfloat16 and float64 to float32: inputs, constants and the types that nodes are told."""
    graph = model.graph
    for value in graph.inputs:
        if value.dtype in _FLOATS:
            value.dtype = ir.DataType.FLOAT
    for value in graph.initializers.values():
        if value.dtype in _FLOATS:
            assert value.const_value is not None
            with np.errstate(over="ignore"):
                set_constant(value, value.const_value.numpy().astype(np.float32))
    for node in graph:
        for name in ("to", "dtype"):
            dtype = attribute(node, name)
            if isinstance(dtype, int) and dtype in _FLOATS:
                set_attribute(node, name, int(ir.DataType.FLOAT))
        for found in list(node.attributes.values()):
            if found.type == ir.AttributeType.TENSOR and found.as_tensor().dtype in _FLOATS:
                array = found.as_tensor().numpy().astype(np.float32)
                node.attributes[found.name] = ir.AttrTensor(found.name, ir.Tensor(array))


def check_finite(graph: ir.Graph) -> None:
    """Refuse NaN anywhere and infinity where it is a weight.

    Raises:
        ModelError: naming the constant.
    """
    for value in graph.initializers.values():
        array = constant(value)
        if array is None or not (array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16):
            continue
        finite = np.isfinite(array)
        if finite.all():
            continue
        users = sorted({use.node.op_type for use in value.uses()})
        if not np.isnan(array).any() and set(users) <= _INFINITE_ALLOWED:
            continue
        bad = int(array.size - np.count_nonzero(finite))
        where = tuple(int(i) for i in np.argwhere(~np.atleast_1d(finite))[0])
        raise ModelError(
            f"constant '{value.name}' (read by {', '.join(users) or 'nothing'}): expected finite numbers, got {bad} of "
            f"{array.size} NaN or infinite, the first at {where}; repair the model's weights"
        )


def name_nodes(graph: ir.Graph) -> None:
    """Give every node and every output a unique, non-empty name; those that have one keep it.

    A node without a name is called after its first output that has one, as other tools do.
    """
    taken: set[str] = {str(value.name) for value in (*graph.inputs, *graph.initializers.values())}
    nodes: set[str] = set()
    for index, node in enumerate(graph):
        called = next((str(output.name) for output in node.outputs if output.name), f"{node.op_type}_{index}")
        node.name = unique_name(node.name or called, nodes)
        nodes.add(node.name)
        for output in node.outputs:
            if not output.name and (output.uses() or output.is_graph_output()):
                output.name = unique_name(node.name, taken)
            elif output.name and output.name in taken:
                output.name = unique_name(output.name, taken)
            taken.add(str(output.name))


def remove_identities(graph: ir.Graph) -> None:
    """Take out Identity nodes and Casts to the same type, except one that joins an input or an output to an output."""
    for node in list(graph):
        source = node.inputs[0] if node.inputs else None
        same = node.op_type == "Cast" and source is not None and source.dtype == node.outputs[0].dtype
        if (same or node.op_type == "Identity") and not node.domain and can_bypass(node):
            bypass(graph, node)
