"""Fold Mul and Add of constants behind a normalization into its scale and bias."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape, single_consumer, where
from intaglio.graph.edit import add_constant, insert, remove_unread_before, rename, replace, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts
from intaglio.graph.passes.canonicalize import AFFINE
from intaglio.graph.pattern import keeps_shape


def along(array: Array, sizes: tuple[int, ...], perm: tuple[int, ...]) -> Array | None:
    """Expand a constant that varies along some axes only to their sizes; None if it varies elsewhere.

    Args:
        array: broadcasts to a value of as many axes as `perm` has.
        sizes: of the axes that come last when the value is transposed by `perm`.
        perm: order of the value's axes.
    """
    padded = array.reshape((1,) * (len(perm) - array.ndim) + array.shape).transpose(perm)
    kept = len(perm) - len(sizes)
    if any(size != 1 for size in padded.shape[:kept]):
        return None
    return np.broadcast_to(padded.reshape(padded.shape[kept:]), sizes).astype(np.float32)


def take_in_scale_and_bias(graph: Graph) -> list[str]:
    """Fold them, also behind a Transpose of the result.

    A LayerNormalization of all space of each channel, followed by constants of channels, becomes an
    InstanceNormalization.
    """
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if not facts(node.op_type).normalizes or not _has_constant_parameters(node) or len(node.outputs) != 1:
            continue
        while (found := _affine_behind(node)) is not None:
            following, array, perm = found
            flat = _parameter(node, array, perm)
            if flat is None and perm == tuple(range(len(perm))):
                made = _by_channel(inner, node, array)
                node, flat = made if made is not None else (node, None)
            if flat is None or (following.op_type == "Add" and node.op_type == "RMSNormalization"):
                break
            _absorb(inner, node, following.op_type, flat)
            changes.append(f"{where(following)} taken into {where(node)}")
            last = following.inputs[0]
            assert last is not None
            replace(following.outputs[0], last)
            remove_unread_before(inner, following)
    return changes


def _has_constant_parameters(node: ir.Node) -> bool:
    """Tell whether a node has a scale, and neither scale nor bias is computed."""
    bias = input_value(node, 2)
    return constant(input_value(node, 1)) is not None and (bias is None or constant(bias) is not None)


def _affine_behind(node: ir.Node) -> tuple[ir.Node, Array, tuple[int, ...]] | None:
    """Find a Mul or Add of a constant behind a node, its array, and the order that gives the node's axes back."""
    value = node.outputs[0]
    perm = tuple(range(rank(value)))
    following = single_consumer(value)
    if following is not None and following.op_type == "Transpose":
        given = attribute(following, "perm")
        if given is None:
            return None
        perm = tuple(int(axis) for axis in np.argsort(given))
        value = following.outputs[0]
        following = single_consumer(value)
    if following is None or following.op_type not in AFFINE or not keeps_shape(following, value):
        return None
    array = constant(input_value(following, 1))
    return None if array is None or following.inputs[0] is not value else (following, array, perm)


def _parameter(node: ir.Node, array: Array, perm: tuple[int, ...]) -> Array | None:
    """Bring a constant behind a node to the form of the node's scale and bias; None where it varies elsewhere."""
    size = shape(node.outputs[0])
    if not facts(node.op_type).channels_first:
        return along(array, size[int(attribute(node, "axis")) :], perm)
    return along(array, size[1:2], (*(perm[axis] for axis in range(len(perm)) if axis != 1), perm[1]))


def _by_channel(graph: ir.Graph, node: ir.Node, array: Array) -> tuple[ir.Node, Array] | None:
    """Replace a LayerNormalization without parameters by an InstanceNormalization that takes them by channel."""
    full, size = rank(node.outputs[0]), shape(node.outputs[0])
    if node.op_type != "LayerNormalization" or int(attribute(node, "axis")) != 2 or full < 4:
        return None
    scale, bias = (constant(input_value(node, index)) for index in (1, 2))
    flat = along(array, size[1:2], (0, *range(2, full), 1))
    if flat is None or scale is None or not (scale == 1).all() or (bias is not None and bias.any()):
        return None
    constants = [add_constant(graph, f"{node.name}.{role}", np.full(size[1], v, np.float32)) for role, v in _UNIT]
    attributes = {"epsilon": float(attribute(node, "epsilon", 1e-5))}
    inputs = [node.inputs[0], *constants]
    made = insert(graph, node, "InstanceNormalization", inputs, attributes, name=f"{node.name}.instance")
    name = str(node.name)
    replace(node.outputs[0], made.outputs[0])
    remove_unread_before(graph, node)
    rename(made, name)
    return made, flat


_UNIT = (("scale", 1.0), ("bias", 0.0))


def _absorb(graph: ir.Graph, node: ir.Node, op_type: str, flat: Array) -> None:
    scale, bias = (constant(input_value(node, index)) for index in (1, 2))
    if op_type == "Mul":
        _set(graph, node, 1, "scale", flat if scale is None else scale * flat)
        if bias is not None:
            _set(graph, node, 2, "bias", bias * flat)
    else:
        _set(graph, node, 2, "bias", flat if bias is None else bias + flat)


def _set(graph: ir.Graph, node: ir.Node, index: int, role: str, array: Array) -> None:
    """Set the array of a constant input of a node; the input is added where there was none."""
    old = input_value(node, index)
    if old is not None:
        set_constant(old, array.astype(np.float32))
        return
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_constant(graph, f"{node.name}.{role}", array.astype(np.float32)))
